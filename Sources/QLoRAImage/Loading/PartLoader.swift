// Loads the weights of one part of a pipeline by module, quantizing on the way those that diffusers
// or transformers would quantize.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRATensor

struct PartLoader {
  let folder: PartFolder
  let backend: any Backend
  let options: LoadOptions
  private let modules: LinearModules

  /// - Throws: `badModulePattern`.
  init(_ folder: PartFolder, backend: any Backend, options: LoadOptions) throws {
    self.folder = folder
    self.backend = backend
    self.options = options
    modules = try LinearModules(
      modelType: folder.json["model_type"]?.stringValue,
      isDiffusers: folder.json["_class_name"] != nil, names: folder.weights.names,
      skip: options.skip)
  }

  /// A linear with its bias, where the file has one.
  ///
  /// - Throws: a diagnostic that names the missing, misshapen or non-finite tensor.
  func linear(_ module: String, _ outFeatures: Int, _ inFeatures: Int) throws -> AdaptedLinear {
    let bias = module + ".bias"
    return AdaptedLinear(
      name: module, weight: try matrix(module + ".weight", [outFeatures, inFeatures]),
      bias: folder.weights.contains(bias) ? try vector(bias, outFeatures) : nil)
  }

  /// A matrix, or a convolution's weight with all but its outputs in one row.
  ///
  /// - Parameter stored: the shape of the file, where it is another one.
  func matrix(_ name: String, _ shape: Shape, stored: Shape? = nil) throws -> any PreparedWeight {
    let weights = folder.weights
    try check(name, expected: stored ?? shape)
    if let matrix = try weights.quantizedMatrix(name) { return try backend.prepare(matrix) }
    if let matrix = try weights.int8Matrix(name) {
      return try backend.prepare(matrix, folder.int8Spec ?? Int8Spec())
    }
    let isQuantized = try modules.isQuantized(name, try weights.shape(of: name))
    let storage = isQuantized ? options.quantization?.storage : nil
    return try placed(name) {
      let builder = try backend.makeWeightBuilder(
        outFeatures: shape[0], inFeatures: shape[1], storage ?? .dense(options.computeDType))
      try builder.fill { try weights.readFloats(name, range: $0, into: $1) }
      return try builder.finish()
    }
  }

  /// `[count]` float32.
  func vector(_ name: String, _ count: Int) throws -> Tensor { try tensor(name, [count]) }

  /// A vector that not every model of the kind has.
  func vectorIfPresent(_ name: String, _ count: Int) throws -> Tensor? {
    folder.weights.contains(name) ? try vector(name, count) : nil
  }

  /// A small tensor in float32.
  func tensor(_ name: String, _ shape: Shape) throws -> Tensor {
    try check(name, expected: shape)
    let tensor = try folder.weights.tensor(name)
    if let index = tensor.floats().firstIndex(where: { !$0.isFinite }) {
      throw Diagnostic(
        .nonFiniteWeight, "element \(index) is \(tensor[flat: index])", at: place(name),
        remedy: "get the model again from its source")
    }
    return tensor
  }

  private func check(_ name: String, expected: Shape) throws {
    let found = try folder.weights.shape(of: name)
    guard found == expected else {
      throw Diagnostic(
        .unexpectedShape, "expected shape \(expected) from the configuration, found \(found)",
        at: place(name), remedy: "check that config.json belongs to these weights")
    }
  }

  private func placed<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, diagnostic.message, at: place(name), remedy: diagnostic.remedy)
    }
  }

  private func place(_ name: String) -> DiagnosticLocation {
    .tensor(file: folder.path, name: name)
  }
}
