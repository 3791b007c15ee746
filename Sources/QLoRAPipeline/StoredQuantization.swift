// A base that comes quantized is held as its folder has it: recipes, commands and what is recorded
// beside an adapter say that, and nothing else.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAImage
import QLoRAModels
import QLoRARecipe
import QLoRATensor

extension ModelSource {
  /// The files of a folder; nil where the weights are elsewhere.
  var safetensors: SafetensorsWeightSource? {
    var files = weights
    while let inner = (files as? OverlaidWeights)?.base ?? (files as? RenamedWeights)?.base
      ?? (files as? TransposedWeights)?.base
    {
      files = inner
    }
    return files as? SafetensorsWeightSource
  }

  /// How a folder in a format of bitsandbytes has its linears; nil of any other model. Linears may
  /// have block sizes of their own: then that of the first one.
  var storedQuantization: WeightQuantization? { safetensors?.quantization(int8Spec) }
}

extension SafetensorsWeightSource {
  fileprivate func quantization(_ int8Spec: Int8Spec?) -> WeightQuantization? {
    guard let first = names.first(where: isQuantized) else { return nil }
    return fourBitSpec(first).map(WeightQuantization.fourBit) ?? .int8(int8Spec ?? Int8Spec())
  }
}

/// A base that comes quantized.
private struct StoredBase {
  let quantization: WeightQuantization
  /// Linears that its files have quantized, and those that they have not.
  let quantized: [String]
  let plain: [String]

  /// - Parameter linears: modules of the base.
  init(
    _ quantization: WeightQuantization, _ weights: any WeightSource, linears: [String]
  ) {
    self.quantization = quantization
    quantized = linears.filter { weights.isQuantized($0 + ".weight") }
    plain = linears.filter { !weights.isQuantized($0 + ".weight") }
  }

  init?(_ source: ModelSource) {
    guard let stored = source.storedQuantization else { return nil }
    let config = source.config
    let modules = source.weights.names.filter { $0.hasSuffix(".weight") }
      .map { String($0.dropLast(".weight".count)) }
    // The last linear of T5's blocks is never quantized, so nobody has to say so.
    let linears = modules.filter { module in
      config.isLinear(module)
        && !(config.family.readsAndWrites && config.role(of: module)?.role == .down)
    }
    self.init(stored, source.weights, linears: linears)
  }

  /// A part of a pipeline of images.
  init?(_ part: PartFolder) throws {
    guard let files = part.weights as? SafetensorsWeightSource,
      let stored = files.quantization(part.int8Spec)
    else { return nil }
    let choice = try LinearModules(
      modelType: part.json["model_type"]?.stringValue,
      isDiffusers: part.json["_class_name"] != nil, names: files.names, skip: [])
    let linears = try files.names.filter { try choice.isQuantized($0, files.shape(of: $0)) }
      .map { String($0.dropLast(".weight".count)) }
    self.init(stored, files, linears: linears)
  }
}

extension Recipe {
  fileprivate var storedBase: StoredBase? {
    get throws {
      task == .image
        ? try StoredBase(try ImageFolder(model.path).transformer)
        : StoredBase(try ModelSource.open(model.path))
    }
  }

  /// How the base is held: as `loadOptions`, or as its own files have it. A run of an earlier
  /// version has a recipe that may say something else.
  var heldOptions: LoadOptions {
    get throws {
      var options = loadOptions
      options.quantization = try storedBase?.quantization ?? options.quantization
      return options
    }
  }
}

extension ResolvedRecipe {
  /// The recipe with the quantization of a base that comes quantized. What its files have in full
  /// precision stays so.
  ///
  /// - Throws: `recipeContradiction` for each key of `model.quantization` that the recipe decides
  ///   and that the base has otherwise, and what opening the model throws. Type `none` is no
  ///   contradiction: nothing more is quantized.
  func withStoredQuantization() throws -> ResolvedRecipe {
    guard let stored = try recipe.storedBase else { return self }
    let (own, held) = (recipe.model.quantization, Recipe.Quantization(stored.quantization))
    let skipped = try ModulePatterns(own.skip)
    var others: [String] = []
    if own.type != held.type {
      if own.type != .none { others.append("type") }
    } else if Float(own.threshold) != Float(held.threshold) {
      others.append("threshold")
    }
    if own.blocksize != held.blocksize { others.append("blocksize") }
    if own.doubleQuant != held.doubleQuant { others.append("doubleQuant") }
    if try stored.quantized.contains(where: skipped.matches) { others.append("skip") }
    let problems = others.compactMap { key in
      contradiction(
        of: "model.quantization.\(key)",
        "model.quantization.\(key) says something else than the model, which is quantized already: "
          + stored.quantization.description,
        remedy: "delete it, or give the model as it was before it was quantized")
    }
    guard problems.isEmpty else { throw Diagnostics(problems) }
    let plain = try stored.plain.filter { try !skipped.matches($0) }
    return changed { recipe in
      recipe.model.quantization = held
      recipe.model.quantization.skip = own.skip + plain
    }
  }
}

extension Recipe.Quantization {
  /// What means nothing to the type has its default.
  fileprivate init(_ stored: WeightQuantization) {
    self.init()
    switch stored {
    case .fourBit(let spec):
      type = spec.type == .fp4 ? .fp4 : .nf4
      blocksize = spec.blockSize
      doubleQuant = spec.doubleQuantized
    case .int8(let spec):
      type = .int8
      threshold = Double(spec.threshold)
    }
  }
}

extension Pipeline {
  /// `loadOptions`, of a model that does not contradict the command line.
  ///
  /// - Throws: `recipeContradiction` where the model comes quantized, and the command line names
  ///   another type; with `none` it is taken as it is.
  static func heldOptions(_ base: BaseOptions, trained: LoadOptions?) throws -> LoadOptions {
    if let word = base.quantization, WeightQuantization(word: word) != nil,
      let stored = try ModelSource.open(base.model).storedQuantization, word != stored.word
    {
      throw Diagnostic(
        .recipeContradiction,
        "--quantization \(word) says something else than the model, which is quantized already: "
          + stored.description, at: .file(base.model),
        remedy: "leave it out, or give the model as it was before it was quantized")
    }
    return loadOptions(base, trained: trained)
  }
}
