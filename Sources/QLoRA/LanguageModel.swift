// A loaded model that answers and is measured: what `qlora generate` and `qlora eval` do.
import QLoRAData
import QLoRAHub
import QLoRAPipeline

/// How the weights of a base model are held.
public enum BaseWeights: Sendable {
  /// As the adapter was trained; without an adapter, as `plain`.
  case asTrained
  /// As the files have them.
  case plain
  case quantized(Quantization)

  var word: String? {
    switch self {
    case .asTrained: nil
    case .plain: "none"
    case .quantized(let type): type.rawValue
    }
  }
}

/// How well a model predicts the rows of a file.
public struct Evaluation: Sendable {
  public let rows: Int
  /// Mean negative log-likelihood of a labelled token, in nats.
  public let loss: Double
  /// The fraction of rows whose greedy answer is the row's own; nil where it was not asked for.
  public let exactMatch: Double?
}

/// A base model with or without an adapter. It belongs to one thread at a time.
public final class LanguageModel {
  private let loaded: LoadedModel

  /// - Parameters:
  ///   - path: a folder with config.json and safetensors, a GGUF file, or `ORG/NAME` of the hub
  ///     that `qlora download` has fetched.
  ///   - adapter: a PEFT folder, a run's folder or a checkpoint.
  ///   - weights: how the base is held.
  ///   - threads: 0 = all cores.
  /// - Throws: a `Diagnostic` for files that are missing, damaged or do not fit each other.
  public init(
    _ path: String, adapter: String? = nil, weights: BaseWeights = .asTrained, threads: Int = 0
  ) throws {
    loaded = try Pipeline.load(
      BaseOptions(
        model: try HubCache.place(of: path),
        adapter: try adapter.map { try HubCache.place(of: $0) }, quantization: weights.word,
        computeDType: nil, threads: threads))
  }

  /// The answer to a message, by the model's chat template.
  ///
  /// - Parameters:
  ///   - message: what the user says.
  ///   - system: a message of the system before it.
  ///   - maxTokens: where an answer that does not end is cut.
  ///   - temperature: 0 takes the likeliest token each time; higher draws more freely.
  ///   - seed: of the draws.
  ///   - emit: gets each piece of the text as soon as it is complete.
  public func answer(
    _ message: String, system: String? = nil, maxTokens: Int = 256, temperature: Double = 0,
    seed: UInt64 = 0, emit: (String) -> Void = { _ in }
  ) throws -> String {
    var options = GenerationOptions()
    options.prompt = message
    options.system = system
    options.answer.maxTokens = maxTokens
    options.answer.sampling.temperature = temperature
    options.answer.sampling.seed = seed
    return try Generator(loaded).generate(options, emit: emit).text
  }

  /// Measures the model on a file of rows.
  ///
  /// - Parameters:
  ///   - file: rows, as a recipe's `data.validation` names them.
  ///   - format: what the rows are.
  ///   - measuresExactMatch: whether to write each row's answer, which takes its time.
  public func evaluate(
    _ file: String, format: RowFormat = .messages, measuresExactMatch: Bool = false
  ) throws -> Evaluation {
    let total = try Evaluator(loaded).evaluate(
      EvaluationRequest(
        source: DataSource(path: file, format: format), measuresExactMatch: measuresExactMatch)
    ).total
    return Evaluation(
      rows: total.rows, loss: total.meanNegativeLogLikelihood,
      exactMatch: measuresExactMatch ? total.exactMatch : nil)
  }
}
