// Streams a model's weights into the backend, quantizing on the way. Peak memory is the quantized
// model plus one tensor's block scales plus what each thread is working on.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// How the weights of a model are to be held.
package struct LoadOptions: Sendable, Hashable {
  /// nil = the linears stay dense.
  package var quantization: WeightQuantization?
  /// Modules that stay dense: a full name, a suffix after ".", or a regular expression for the
  /// whole name.
  package var skip: [String]
  /// The type that activations and dense weights are kept in.
  package var computeDType: DType
  /// The classes that the model is to tell apart; nil for a language model.
  package var classes: ClassOptions?

  package init(
    quantization: WeightQuantization? = .fourBit(QuantizationSpec()), skip: [String] = [],
    computeDType: DType = .bfloat16
  ) {
    self.quantization = quantization
    self.skip = skip
    self.computeDType = computeDType
  }
}

/// Loads a decoder from any weight source.
package struct ModelLoader {
  /// Elements of a head that kernels of attention have room for.
  private static let largestHead = 256

  let source: ModelSource
  let backend: any Backend
  let options: LoadOptions
  /// Weights by module that an earlier load prepared with the same options.
  let prepared: [String: any PreparedWeight]
  /// Gets each weight that was made, and returns what the model is to hold in its place.
  let keeping: (_ module: String, _ weight: any PreparedWeight) throws -> any PreparedWeight
  /// Called after each block with the fraction of blocks that are loaded; what it throws ends the
  /// load.
  let progress: (Double) throws -> Void
  private let skip: ModulePatterns

  package init(
    _ source: ModelSource, backend: any Backend, options: LoadOptions,
    prepared: [String: any PreparedWeight] = [:],
    keeping: @escaping (String, any PreparedWeight) throws -> any PreparedWeight = { $1 },
    progress: @escaping (Double) throws -> Void = { _ in }
  ) throws {
    self.source = source
    self.backend = backend
    self.options = options
    self.prepared = prepared
    self.keeping = keeping
    self.progress = progress
    skip = try ModulePatterns(options.skip)
  }

  /// - Throws: a diagnostic that names the missing, misshapen or non-finite tensor.
  package func load() throws -> DecoderModel {
    let config = source.config
    guard config.headDim % 8 == 0, config.headDim <= Self.largestHead else {
      throw Diagnostic(
        .architectureUnsupported,
        "heads have \(config.headDim) elements; computed are multiples of 8 up to "
          + "\(Self.largestHead)", at: .file(source.path))
    }
    let names = config.names
    func table(_ module: String, _ rows: Int) throws -> any PreparedWeight {
      try weight(module, [rows, config.hidden], quantized: false)
    }
    let embedding = try table(names.embedding, config.vocabularySize)
    let hasHead = options.classes == nil && !config.tiesEmbeddings
    let head = hasHead ? try table(names.head, config.vocabularySize) : embedding
    let positions = try names.positions.map { try table($0, config.maxPositions) }
    let encoding = try encoderEmbedding(table)
    let classifier = try classifier()
    var blocks: [any DecoderBlock] = []
    for index in 0..<config.layers {
      blocks.append(try BlockReader(loader: self, config: config, index: index).block())
      try progress(Double(index + 1) / Double(config.layers))
    }
    return DecoderModel(
      config: config, backend: backend, activationDType: options.computeDType,
      embedding: embedding, head: head, positions: positions, encoding: encoding, blocks: blocks,
      finalNorm: encoding == nil ? try norm(names.finalNorm, config.hidden) : nil,
      readerNorm: try names.reader.map { try norm($0.finalNorm, config.hidden) },
      classifier: classifier)
  }

  /// nil of decoders.
  private func encoderEmbedding(
    _ table: (_ module: String, _ rows: Int) throws -> any PreparedWeight
  ) throws -> EncoderEmbedding? {
    let config = source.config
    guard let norm = config.names.embeddingNorm else { return nil }
    return EncoderEmbedding(
      types: try config.names.tokenTypes.map { try table($0, config.form.tokenTypes) },
      norm: try self.norm(norm, config.hidden))
  }

  /// - Parameter form: nil for that of the model's norms.
  func norm(_ module: String, _ width: Int, _ form: NormForm? = nil) throws -> Norm {
    let form = form ?? source.config.form.norm
    return Norm(
      module, weight: try vector(module + ".weight", width),
      bias: form == .layer ? try vector(module + ".bias", width) : nil, form,
      epsilon: source.config.normEpsilon)
  }

  /// The weight of one module, quantized where it is to be or already is.
  func weight(
    _ module: String, _ shape: Shape, quantized: Bool
  ) throws -> any PreparedWeight {
    let name = module + ".weight"
    if let weight = prepared[module] {
      try check(name, found: [weight.outFeatures, weight.inFeatures], expected: shape)
      return weight
    }
    return try keeping(module, try made(module, name, shape, quantized: quantized))
  }

  private func made(
    _ module: String, _ name: String, _ shape: Shape, quantized: Bool
  ) throws -> any PreparedWeight {
    if let matrix = try source.weights.quantizedMatrix(name) {
      try check(name, found: matrix.shape, expected: shape)
      return try backend.prepare(matrix)
    }
    if let matrix = try source.weights.int8Matrix(name) {
      try check(name, found: matrix.shape, expected: shape)
      return try backend.prepare(matrix, source.int8Spec ?? Int8Spec())
    }
    try check(name, found: try source.weights.shape(of: name), expected: shape)
    let skipped = try !quantized || skip.matches(module) || isKept(module)
    let quantization = skipped ? nil : options.quantization
    let storage = quantization?.storage ?? .dense(options.computeDType)
    let builder = try backend.makeWeightBuilder(
      outFeatures: shape[0], inFeatures: shape[1], storage)
    do {
      try builder.fill { try source.weights.readFloats(name, range: $0, into: $1) }
      return try builder.finish()
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, diagnostic.message,
        at: .tensor(file: source.path, name: name), remedy: diagnostic.remedy)
    }
  }

  /// T5's last linear of a block stays in full precision, as transformers keeps it: its inputs are
  /// large.
  private func isKept(_ module: String) -> Bool {
    source.config.family.readsAndWrites && source.config.role(of: module)?.role == .down
  }

  func vector(_ name: String, _ count: Int) throws -> Tensor {
    try vector(name, [count], count)
  }

  /// A small tensor of any shape.
  func vector(_ name: String, _ shape: Shape, _ count: Int) throws -> Tensor {
    try check(name, found: try source.weights.shape(of: name), expected: shape)
    let tensor = Tensor(uninitialized: shape, .float32)
    try tensor.withMutableElements(Float.self) {
      try source.weights.readFloats(name, range: 0..<count, into: $0)
      if let index = $0.firstIndex(where: { !$0.isFinite }) {
        throw Diagnostic(
          .nonFiniteWeight, "element \(index) is \($0[index])",
          at: .tensor(file: source.path, name: name), remedy: "get the model again from its source")
      }
    }
    return tensor
  }

  private func check(_ name: String, found: Shape, expected: Shape) throws {
    guard found == expected else {
      throw Diagnostic(
        .unexpectedShape, "expected shape \(expected) from the configuration, found \(found)",
        at: .tensor(file: source.path, name: name),
        remedy: "check that config.json belongs to these weights")
    }
  }
}
