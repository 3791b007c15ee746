// From a recipe's words to each module's own options: the only place where both are known.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRATensor
import QLoRATraining

extension Recipe {
  func modelRequest(on device: ComputeDevice) -> ModelRequest {
    ModelRequest(
      path: model.path, load: loadOptions, threads: threads, usesInt16: usesInt16,
      maxMemory: maxMemory.cpu, device: device)
  }

  var usesInt16: Bool { model.computeDType == "int16" }

  var loadOptions: LoadOptions {
    let chosen = model.quantization
    let quantization: WeightQuantization? =
      switch chosen.type {
      case .none: nil
      case .int8: .int8(Int8Spec(threshold: Float(chosen.threshold)))
      case .nf4, .fp4:
        .fourBit(
          QuantizationSpec(
            type: chosen.type == .fp4 ? .fp4 : .nf4, blockSize: chosen.blocksize,
            doubleQuantized: chosen.doubleQuant))
      }
    // With int16 products everything else is float32.
    var options = LoadOptions(
      quantization: quantization, skip: model.quantization.skip,
      computeDType: DType(rawValue: model.computeDType).flatMap { $0.isFloatingPoint ? $0 : nil }
        ?? .float32)
    options.classes = classOptions
    return options
  }

  var adapterOptions: AdapterOptions {
    let targets: AdapterTargets =
      switch adapter.targets {
      case .allLinear: .allLinear
      case .pattern(let pattern): .pattern(pattern)
      case .names(let names): .names(names)
      }
    var options = AdapterOptions(
      rank: adapter.rank, alpha: adapter.alpha, dropout: adapter.dropout, targets: targets,
      seed: UInt64(bitPattern: Int64(training.seed)))
    if task == .language { options.modulesToSave = adapter.modulesToSave }
    return options
  }

  var batchSettings: BatchSettings {
    let length: RunLength =
      switch training.duration {
      case .epochs(let count): .epochs(count)
      case .steps(let count): .steps(count)
      }
    return BatchSettings(
      maxTokens: data.maxTokens, packing: data.packing, shuffle: data.shuffle,
      batchSize: training.batchSize, accumulation: training.gradientAccumulation, length: length,
      seed: UInt64(bitPattern: Int64(training.seed)), weights: data.train.map(\.weight))
  }

  /// How rows of this recipe become tokens.
  func rowEncoder(_ text: ModelText, keepsOrigins: Bool = false) -> RowEncoder {
    RowEncoder(
      tokenizer: text.tokenizer, template: text.template, maxTokens: data.maxTokens,
      overLength: OverLength(rawValue: data.overLength.rawValue) ?? .truncate,
      trainedTurns: TrainedTurns(rawValue: data.trainOn.rawValue) ?? .allAssistant,
      keepsOrigins: keepsOrigins,
      classes: task == .classification
        ? ClassEncoding(labels: LabelSet(data.labels), positionLimit: text.positionLimit) : nil,
      answerStart: text.answerStart)
  }

  var optimizerOptions: OptimizerOptions {
    let chosen = training.optimizer
    switch chosen.type {
    case .adamw, .adamw8bit, .pagedadamw, .pagedadamw8bit:
      return .adamW(
        AdamWOptions(
          beta1: chosen.beta1, beta2: chosen.beta2, epsilon: chosen.epsilon,
          weightDecay: chosen.weightDecay, isBlockwise: chosen.type.isBlockwise,
          isPaged: chosen.type.isPaged))
    case .lion, .lion8bit, .pagedlion, .pagedlion8bit:
      return .lion(
        LionOptions(
          beta1: chosen.beta1, beta2: chosen.beta2, weightDecay: chosen.weightDecay,
          isBlockwise: chosen.type.isBlockwise, isPaged: chosen.type.isPaged))
    case .sgd:
      return .sgd(SGDOptions(momentum: chosen.momentum, weightDecay: chosen.weightDecay))
    }
  }

  func trainingOptions(stepCount: Int) -> TrainingOptions {
    let shape =
      LearningRateSchedule.Shape(rawValue: training.schedule.type.rawValue) ?? .constant
    return TrainingOptions(
      optimizer: optimizerOptions,
      schedule: LearningRateSchedule(
        shape: shape, peak: training.optimizer.learningRate,
        warmupSteps: training.schedule.warmupSteps, stepCount: stepCount),
      maximumGradientNorm: training.maxGradientNorm, evalEvery: training.evalEvery,
      saveEvery: training.saveEvery, keep: training.keep, onNonFinite: nonFinitePolicy)
  }

  /// Checkpoints that are on the disk at most, but for the one that is being written: of the best
  /// evaluation there is another where not only the last state is evaluated.
  var keptCheckpoints: Int {
    training.keep + (training.evalEvery > 0 && !data.validation.isEmpty ? 1 : 0)
  }

  private var nonFinitePolicy: NonFinitePolicy {
    switch training.onNonFinite {
    case .halt: .halt
    case .skip: .skip(atMost: training.maxNonFinite)
    case .rollback: .rollback(atMost: training.maxNonFinite)
    }
  }
}

extension Recipe.Source {
  var dataSource: DataSource {
    DataSource(
      path: path, format: QLoRAData.RowFormat(rawValue: format.rawValue) ?? .messages,
      limit: limit)
  }
}

extension MicroBatch {
  /// As the model takes it.
  var tokenBatch: TokenBatch {
    let (rows, targets) = predictions()
    var batch = TokenBatch(
      tokens: tokens, positions: positions, bounds: bounds, rows: rows, targets: targets)
    batch.types = types
    return batch
  }
}

/// The plan of a run as the trainer's source of batches.
struct PlannedBatches: BatchSource {
  let plan: BatchPlan
  /// Names of the data files that the rows come from.
  let sources: [String]

  var stepCount: Int { plan.stepCount }

  func microBatches(step: Int) throws -> [TokenBatch] {
    try plan.microBatches(step: step).map(\.tokenBatch)
  }

  func rowNames(step: Int) -> [[String]] {
    plan.members(step: step).map { sequences in
      sequences.flatMap { $0 }.map { index in
        let source = plan.rows.source(index)
        let name = sources.indices.contains(source) ? sources[source] : "data"
        return "\(name): row \(plan.rows.number(index))"
      }
    }
  }
}
