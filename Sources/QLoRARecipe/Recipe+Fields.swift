// The one table of the recipe's keys: decoding, defaults, error messages, `--explain` and the JSON
// Schema are all read from it. A new key is a stored property and a row here.

extension Recipe: RecipeSection {
  package static let fields: [Field<Recipe>] = [
    Field(
      "name", \.name, .fileName,
      "Name of the run; the recipe's file name without its ending where it is not given."),
    Field(
      "task", \.task, .choice(Task.allCases.map(\.rawValue)),
      "What is learnt: language (the default) is to go on with a text, classification to tell "
        + "classes apart, image to draw: the transformers of FLUX.1 and Stable Diffusion 3.",
      omitted: { $0.task == .language }),
    Field(section: "model", \.model, "The frozen base model."),
    Field(section: "adapter", \.adapter, "The trained part."),
    Field(section: "data", \.data, "The rows to learn from."),
    Field(
      section: "image", \.image, "How image models meet noise; with the task image only.",
      omitted: { $0.task != .image }),
    Field(section: "training", \.training, "How to train."),
    Field(
      "device", \.device, .choice(["auto", "cpu", "cuda"]),
      "Where to compute; auto takes the fastest device that is present. What does not fit into its "
        + "memory waits: layers on the disk, or weights in the host's memory where it is a GPU."),
    Field(section: "maxMemory", \.maxMemory, "What the run may take of each device's memory."),
    Field(
      "threads", \.threads, .integer(0...4096), "Threads of the CPU backend; 0 means all cores.",
      unit: "threads"),
    Field(
      "output", \.output, .path,
      "The run's folder, relative to the working directory; runs/<name> where it is not given."),
    Field(
      "digests", \.digests, .textMap,
      "Digests that model, tokenizer, template and data must have; a run records them here.",
      omitted: { $0.digests.isEmpty }),
  ]
}

extension Recipe.MaxMemory: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(
      "cpu", \.size, .optional(.byteCount),
      "Memory for the whole process, such as \"3GiB\"; null takes what the machine or the "
        + "container has. Layers that do not fit wait on the disk where device is \"auto\".")
  ]
}

extension Recipe.Model: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(
      "path", \.path, .path,
      "A folder with config.json and safetensors, or a GGUF file; relative to the recipe's folder, "
        + "else to the working directory. Else ORG/NAME or ORG/NAME@REVISION of the hub, once "
        + "`qlora download` has fetched it.", required: true),
    Field(section: "quantization", \.quantization, "How the frozen weights are held in memory."),
    Field(
      "computeDType", \.computeDType, .choice(["bfloat16", "float32", "float16", "int16"]),
      "Number type of the activations; sums are always float32. int16 is float32 whose products "
        + "are computed in 16-bit integers."),
  ]
}

extension Recipe.Quantization: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(
      "type", \.type, .choice(Kind.allCases.map(\.rawValue)),
      "Code of the frozen weights; none keeps them as they are."),
    Field(
      "blocksize", \.blocksize, .powerOfTwo(32...4096), "Weights that share one scale.",
      unit: "weights"),
    Field("doubleQuant", \.doubleQuant, .boolean, "Whether the scales are quantized too."),
    Field(
      "threshold", \.threshold, .number(.atLeast(0)),
      "With int8, the magnitude from which activations are outliers, whose columns evaluation "
        + "keeps in higher precision; 0 means none. A folder in 8 bits has its own.",
      omitted: { $0.type != .int8 }),
    Field(
      "skip", \.skip, .list(.text),
      "Names of linears, or patterns of them, that stay unquantized."),
  ]
}

extension Recipe.Adapter: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field("type", \.type, .choice(["lora"]), "Kind of adapter."),
    Field("rank", \.rank, .integer(1...65_536), "Columns of A and rows of B of the update B·A."),
    Field(
      "alpha", \.alpha, .number(.above(0)), "The update is scaled by alpha ÷ rank."),
    Field(
      "dropout", \.dropout, .number(.atLeast(0, below: 1)),
      "Part of the adapter's inputs that is zeroed in training."),
    Field(
      "targets", \.targets, .targets,
      "Linears that get an adapter: \"all-linear\", a regular expression for whole names, or a "
        + "list of names."),
    Field(
      "initializeFrom", \.initializeFrom, .optional(.path),
      "A PEFT adapter folder to begin with, whose rank, alpha and targets hold; null begins with a "
        + "fresh adapter."),
    Field(
      "modulesToSave", \.modulesToSave, .list(.text),
      "Modules that are trained as a whole: ends of the names of embedding, norms and head, such "
        + "as embed_tokens, norm and lm_head; with the task classification the head (the "
        + "default), and \"pooler\" beside it where the family has one.",
      omitted: { $0.modulesToSave.isEmpty }),
  ]
}

extension Recipe.Data: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(list: "train", \.train, "Files of training rows.", required: true),
    Field(list: "validation", \.validation, "Files of validation rows."),
    Field(
      "validationSplit", \.validationSplit, .number(.atLeast(0, below: 1)),
      "Part of the training rows to validate with where validation names no file."),
    Field(
      "maxTokens", \.maxTokens, .integer(2...1_048_576), "Longest sequence of a micro-batch.",
      unit: "tokens"),
    Field(
      "packing", \.packing, .boolean, "Whether several short rows share one sequence."),
    Field("shuffle", \.shuffle, .boolean, "Whether each epoch sees the rows in another order."),
    Field(
      "overLength", \.overLength, .choice(OverLength.allCases.map(\.rawValue)),
      "What happens to a row longer than maxTokens; text rows are always cut."),
    Field(
      "trainOn", \.trainOn, .choice(TrainOn.allCases.map(\.rawValue)),
      "Messages of a conversation that are trained: all of the assistant's (the default), or the "
        + "last; \"weight\": 0 in a message leaves it out.",
      omitted: { $0.trainOn == .allAssistant }),
    Field(
      "labels", \.labels, .list(.text),
      "Names of the classes in their order, with the task classification; the labels of the "
        + "training rows where it is not given.",
      omitted: { $0.labels.isEmpty }),
  ]
}

extension Recipe.Source: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(
      "path", \.path, .path,
      "A file of JSON lines, a JSON array, CSV (each also gzip or zstd) or Parquet; relative to "
        + "the recipe's folder, else to the working directory. Or hf://datasets/ORG/NAME/FILE of "
        + "the hub, once `qlora download` has fetched it.",
      required: true),
    Field(
      "format", \.format, .choice(Recipe.RowFormat.allCases.map(\.rawValue)),
      "What a row of the file looks like; latents is a folder of cached latents and prompts. The "
        + "tasks classification and image have one format each, which need not be named."),
    Field(
      "weight", \.weight, .number(.atLeast(0.001, below: 1001)),
      "How often an epoch sees each row of the file, 1 where it is not given: 2 is twice, 0.5 is "
        + "every other epoch. Of training files only.",
      omitted: { $0.weight == 1 }),
    Field(
      "limit", \.limit, .optional(.integer(1...Int.max)),
      "Rows to read from the beginning of the file; null, the default, reads all.", unit: "rows",
      omitted: { $0.limit == nil }),
  ]
}

extension Recipe.Training: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(
      "epochs", \.epochs, .integer(1...1_000_000), "Passes over the training rows.",
      unit: "epochs", omitted: { $0.epochs == nil }),
    Field(
      "steps", \.steps, .integer(1...1_000_000_000), "Optimizer steps, instead of epochs.",
      unit: "steps", omitted: { $0.steps == nil }),
    Field(
      "batchSize", \.batchSize, .integer(1...65_536), "Sequences in a micro-batch.",
      unit: "sequences"),
    Field(
      "gradientAccumulation", \.gradientAccumulation, .integer(1...65_536),
      "Micro-batches in an optimizer step.", unit: "micro-batches"),
    Field(section: "optimizer", \.optimizer, "How gradients become updates."),
    Field(section: "schedule", \.schedule, "How the learning rate changes."),
    Field(
      "maxGradientNorm", \.maxGradientNorm, .number(.atLeast(0)),
      "Gradients of a larger norm are scaled down to it; 0 switches this off."),
    Field(
      "onNonFinite", \.onNonFinite, .choice(Recipe.OnNonFinite.allCases.map(\.rawValue)),
      "What becomes of a step whose loss or gradient is not finite: halt (the default) ends the "
        + "run, skip leaves its update out, rollback returns to the last save at half the rate.",
      omitted: { $0.onNonFinite == .halt }),
    Field(
      "maxNonFinite", \.maxNonFinite, .integer(1...1_000_000),
      "Steps of a run that may be skipped or rolled back before it ends after all.",
      unit: "steps", omitted: { $0.onNonFinite == .halt }),
    Field(
      "activationMemory", \.activationMemory, .byteBudget,
      "Activations kept for the backward pass: \"none\" recomputes nothing, \"full\" recomputes "
        + "every block, \"host\" does so and lets the blocks' inputs wait in the host's memory, a "
        + "budget such as \"512MiB\" is something between none and full."),
    Field(
      "neftuneAlpha", \.neftuneAlpha, .number(.atLeast(0, below: 1001)),
      "Noise on the embedded tokens of training, as NEFTune has it; 5 is usual, 0 (the default) "
        + "means none.", omitted: { $0.neftuneAlpha == 0 }),
    Field("seed", \.seed, .integer(0...Int.max), "Seed of shuffling, dropout and fresh adapters."),
    Field(
      "evalEvery", \.evalEvery, .integer(0...1_000_000_000),
      "Optimizer steps between evaluations; 0 means only at the end.", unit: "steps"),
    Field(
      "saveEvery", \.saveEvery, .integer(0...1_000_000_000),
      "Optimizer steps between checkpoints; 0 means only at the end.", unit: "steps"),
    Field(
      "keep", \.keep, .integer(1...1_000_000),
      "Newest checkpoints that stay on disk, 2 or more to have another where one is damaged; that "
        + "of the best evaluation stays besides."),
    Field(
      "logEvery", \.logEvery, .integer(1...1_000_000_000),
      "Optimizer steps between progress lines where stderr is not a terminal.", unit: "steps"),
    Field(
      "samples", \.samples, .integer(0...1000),
      "Validation prompts that base and trained model answer at the end, for report.html; 2 where "
        + "it is not given, 0 means none.", omitted: { $0.samples == Self.defaultSamples }),
    Field(
      "maxWallTime", \.maxWallTime, .optional(.duration),
      "Time such as \"3h50m\" before whose end the command saves and stops with exit code 75; "
        + "null means as long as it takes.", omitted: { $0.maxWallTime == nil }),
  ]
}

extension Recipe.Optimizer: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(
      "type", \.type, .choice(Kind.allCases.map(\.rawValue)),
      "AdamW, Lion, or gradient descent; 8bit holds the states in 8 bits, paged on the disk."),
    Field(
      "learningRate", \.learningRate, .number(.atLeast(0)), "Highest rate of the schedule."),
    Field(
      "beta1", \.beta1, .number(.atLeast(0, below: 1)),
      "Decay of the mean of the gradients; not with sgd.", omitted: { !$0.takes("beta1") }),
    Field(
      "beta2", \.beta2, .number(.atLeast(0, below: 1)),
      "Decay of the mean of their squares; in Lion, of the mean that is kept. Not with sgd.",
      omitted: { !$0.takes("beta2") }),
    Field(
      "epsilon", \.epsilon, .number(.above(0)),
      "Added to the root of the squares' mean; with kinds of adamw only.",
      omitted: { !$0.takes("epsilon") }),
    Field(
      "momentum", \.momentum, .number(.atLeast(0, below: 1)),
      "Part of the last step that is taken again, 0 where it is not given; with sgd only.",
      omitted: { !$0.takes("momentum") }),
    Field("weightDecay", \.weightDecay, .number(.atLeast(0)), "Decay of the weights, per rate."),
  ]
}

extension Recipe.Schedule: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(
      "type", \.type, .choice(Kind.allCases.map(\.rawValue)),
      "Shape of the learning rate after the warm-up."),
    Field(
      "warmupSteps", \.warmupSteps, .integer(0...1_000_000_000),
      "Optimizer steps over which the rate rises from 0.", unit: "steps"),
  ]
}
