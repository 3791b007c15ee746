// How many bytes a model folder has, by part, and how many its weights take where transformers has
// loaded it.

import QLoRAFormats
import QLoRAJSON
import QLoRATensor

struct FolderSizes {
  struct Part {
    let name: String
    var parameters = 0
    var bytes = 0
  }

  /// Quantized weights with their scales; other matrices; vectors; tables and states of the first.
  private(set) var parts = ["quantized", "matrices", "vectors", "tables"].map { Part(name: $0) }
  /// What `get_memory_footprint()` of transformers says of the folder, loaded with nothing said.
  private(set) var memoryFootprint = 0
  private(set) var warnings: [String] = []

  /// - Throws: as reading a file's header does.
  init(_ model: ForeignModel) throws {
    let weights = model.weights as? SafetensorsWeightSource
    for name in model.weights.names {
      let shape = try model.weights.shape(of: name)
      let dtype = try model.weights.dtype(of: name)
      let isQuantized = model.weights.isQuantized(name)
      let part = isQuantized ? 0 : shape.rank > 1 ? 1 : 2
      parts[part].parameters += shape.count
      parts[part].bytes += try weights?.storedBytes(name) ?? shape.count * dtype.byteSize
      // Codes count as they are, scales and tables not at all; floats as the type they are cast to.
      let width = dtype.isFloatingPoint ? (model.dtype ?? dtype).byteSize : dtype.byteSize
      let isTied = name == "lm_head.weight" && model.json["tie_word_embeddings"]?.boolValue == true
      let codes = weights?.isEightBit(name) == true ? shape.count : (shape.count + 1) / 2
      if !isTied { memoryFootprint += isQuantized ? codes : shape.count * width }
    }
    let stored = weights?.files.files.flatMap(\.entries).reduce(0) { $0 + $1.byteRange.count } ?? 0
    parts[3].bytes = max(0, stored - parts.reduce(0) { $0 + $1.bytes })
    memoryFootprint += Self.rotaryBytes(model)
    try warnOfTypes(model)
  }

  /// Models that hold rotary frequencies twice, as float32 for each pair of a head.
  private static let rotaryTypes: Set<String> = ["llama", "mistral", "mixtral", "qwen2", "qwen3"]

  /// What a model holds that no file has. Of other models that is not known.
  private static func rotaryBytes(_ model: ForeignModel) -> Int {
    guard let type = model.modelType, rotaryTypes.contains(type) else { return 0 }
    let heads = max(1, model.json["num_attention_heads"]?.intValue ?? 1)
    let hidden = model.json["hidden_size"]?.intValue ?? 0
    return 2 * (model.json["head_dim"]?.intValue ?? hidden / heads) / 2 * 4
  }

  private mutating func warnOfTypes(_ model: ForeignModel) throws {
    let entry = model.json[QuantizationEntry.key]
    // 8-bit products compute in the type of their activations.
    guard entry?["load_in_8bit"]?.boolValue != true,
      let compute = entry?["bnb_4bit_compute_dtype"]?.stringValue
    else { return }
    let plain = model.weights.names.filter { !model.weights.isQuantized($0) }
    let types = Set(try plain.map { try model.weights.dtype(of: $0) })
      .filter { $0.isFloatingPoint && $0.rawValue != compute }
    for type in types.sorted(by: { $0.rawValue < $1.rawValue }) {
      warnings.append(
        "the compute dtype is \(compute), but unquantized weights are \(type.rawValue): products "
          + "of quantized weights are computed in another type than the rest")
    }
  }

  /// For `inspect`.
  var facts: [(name: String, value: JSONValue)] {
    let used = parts.filter { $0.bytes > 0 }
    let described = used.map { part -> (String, JSONValue) in
      var members: [(String, JSONValue)] = [
        ("parameters", .int(part.parameters)), ("bytes", .int(part.bytes)),
      ]
      if part.parameters > 0 {
        let bits = Double(part.bytes * 8) / Double(part.parameters)
        members.append(("bitsPerParameter", .double((bits * 1000).rounded() / 1000)))
      }
      return (part.name, .dictionary(members))
    }
    return [
      ("memoryFootprintBytes", .int(memoryFootprint)), ("parts", .dictionary(described)),
    ] + (warnings.isEmpty ? [] : [("warnings", .list(warnings.map { .string($0) }))])
  }
}
