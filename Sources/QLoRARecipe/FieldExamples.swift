// A value for each key that somebody might well write, for the schema and for `--explain`.
import QLoRAJSON

package enum FieldExamples {
  /// An example for the key at a path without indexes; nil for sections and unknown paths.
  package static func example(of path: String) -> JSONValue? {
    let plain = path.split(separator: ".").filter { Int($0) == nil }.joined(separator: ".")
    return table[plain] ?? source[plain.replacing("data.validation.", with: "data.train.")]
  }

  private static let source: [String: JSONValue] = [
    "data.train.path": "my-rows.jsonl", "data.train.format": "messages",
    "data.train.weight": .double(0.5), "data.train.limit": .int(1000),
  ]

  private static let table: [String: JSONValue] = [
    "name": "my-first-run", "task": "classification",
    "device": "cpu", "threads": .int(8), "output": "runs/my-first-run",
    "digests": .dictionary([("model", "xxh3:0123456789abcdef")]), "maxMemory.cpu": "3GiB",
    "model.path": "Models/SmolLM2-135M-Instruct.Q4_1.gguf",
    "model.quantization.type": "nf4", "model.quantization.blocksize": .int(64),
    "model.quantization.doubleQuant": true, "model.quantization.threshold": .double(6),
    "model.quantization.skip": ["down_proj"], "model.computeDType": "bfloat16",
    "adapter.type": "lora", "adapter.rank": .int(16), "adapter.alpha": .int(32),
    "adapter.dropout": .double(0.05), "adapter.targets": ["q_proj", "v_proj"],
    "adapter.initializeFrom": "runs/earlier/adapter",
    "image.timesteps": "logit-normal", "image.logitMean": .double(0),
    "image.logitDeviation": .double(1), "image.modeScale": .double(1.29),
    "image.shift": .double(3), "image.weighting": "square", "image.guidance": .double(3.5),
    "adapter.modulesToSave": ["classifier", "pooler"], "data.labels": ["negative", "positive"],
    "data.train": .list([.dictionary([("path", "my-rows.jsonl"), ("format", "messages")])]),
    "data.validation": .list([.dictionary([("path", "held-out.jsonl")])]),
    "data.validationSplit": .double(0.05), "data.maxTokens": .int(1024), "data.packing": true,
    "data.shuffle": true, "data.overLength": "drop", "data.trainOn": "last-assistant",
    "training.epochs": .int(3), "training.steps": .int(1000), "training.batchSize": .int(2),
    "training.gradientAccumulation": .int(8), "training.optimizer.type": "adamw8bit",
    "training.optimizer.learningRate": .double(2e-4), "training.optimizer.beta1": .double(0.9),
    "training.optimizer.beta2": .double(0.95), "training.optimizer.epsilon": .double(1e-8),
    "training.optimizer.momentum": .double(0.9), "training.optimizer.weightDecay": .double(0.01),
    "training.schedule.type": "cosine", "training.schedule.warmupSteps": .int(20),
    "training.maxGradientNorm": .double(1), "training.onNonFinite": "rollback",
    "training.maxNonFinite": .int(3), "training.activationMemory": "512MiB",
    "training.neftuneAlpha": .double(5), "training.seed": .int(7), "training.evalEvery": .int(100),
    "training.saveEvery": .int(100), "training.keep": .int(2), "training.logEvery": .int(10),
    "training.samples": .int(4), "training.maxWallTime": "3h50m",
  ]
}
