// The tiny Llama of the goldens, made with torch, transformers, PEFT and bitsandbytes.

import QLoRACPU
import QLoRAFormats
import QLoRAModels
import QLoRATensor
import TestSupport

/// Which base the goldens were made on.
package enum GoldenBase: String, CaseIterable, Sendable {
  case float32, nf4dq

  package var quantization: WeightQuantization? {
    self == .nf4dq ? .fourBit(QuantizationSpec()) : nil
  }
}

package struct TinyLlama {
  package let goldens: SafetensorsFile
  package let base: GoldenBase
  package let model: DecoderModel
  /// The golden input ids and labels as one packed batch of three rows.
  package let batch: TokenBatch

  package init(
    _ base: GoldenBase, threads: Int = 2, adapters: Bool = true,
    computeDType: DType = .float32, dropout: Double = 0
  ) throws {
    try self.init(
      base, on: try CPUBackend(threads: threads), adapters: adapters, computeDType: computeDType,
      dropout: dropout)
  }

  /// - Parameter folder: of the goldens.
  package init(
    _ base: GoldenBase, on backend: any Backend, adapters: Bool = true,
    computeDType: DType = .float32, dropout: Double = 0, goldensIn folder: String? = nil
  ) throws {
    func path(_ name: String) -> String { folder.map { "\($0)/\(name)" } ?? Goldens.path(name) }
    goldens = try SafetensorsFile(path: path("tiny-llama-training.safetensors"))
    self.base = base
    let source = try ModelSource.open(path("tiny-llama"))
    model = try ModelLoader(
      source, backend: backend,
      options: LoadOptions(quantization: base.quantization, computeDType: computeDType)
    ).load()
    batch = try Self.packedBatch(goldens)
    if adapters {
      var adapter = try initialAdapter()
      adapter.config.dropout = dropout
      try model.addAdapters(adapter)
    }
  }

  /// The golden tensors `<base>.<kind>.<parameter>`, by parameter.
  package func adapter(_ kind: String) throws -> [String: Tensor] {
    let prefix = "\(base.rawValue).\(kind)."
    var tensors: [String: Tensor] = [:]
    for entry in goldens.entries where entry.name.hasPrefix(prefix) {
      tensors[String(entry.name.dropFirst(prefix.count))] = try goldens.readTensor(entry.name)
    }
    return tensors
  }

  /// The adapter that training starts from: rank 4, alpha 8.
  private func initialAdapter() throws -> PEFTAdapter {
    let tensors = try adapter("adapter0")
    let pairs = tensors.keys.filter { $0.contains(".lora_A.") }.sorted().compactMap { name in
      let module = name.replacing("base_model.model.", with: "")
        .replacing(".lora_A.weight", with: "")
      return tensors[name].flatMap { a in
        tensors[name.replacing(".lora_A.", with: ".lora_B.")].map { b in
          PEFTAdapter.Pair(module: module, a: a, b: b)
        }
      }
    }
    return PEFTAdapter(
      config: PEFTAdapterConfig(baseModel: nil, rank: 4, alpha: 8, targets: .pattern("all-linear")),
      pairs: pairs)
  }

  package func floats(_ name: String) throws -> [Float] {
    try goldens.readTensor("\(base.rawValue).\(name)").floats()
  }

  static func packedBatch(_ goldens: SafetensorsFile) throws -> TokenBatch {
    let ids = try goldens.readTensor("input_ids")
    let labels = try goldens.readTensor("labels").withElements(Int64.self) { $0.map(Int32.init) }
    let (rows, width) = (ids.shape[0], ids.shape[1])
    let tokens = ids.withElements(Int64.self) { $0.map(Int32.init) }
    var labelled: [Int32] = []
    var targets: [Int32] = []
    for index in 0..<rows * width where index % width + 1 < width && labels[index + 1] != -100 {
      labelled.append(Int32(index))
      targets.append(labels[index + 1])
    }
    return TokenBatch(
      tokens: tokens, positions: (0..<rows * width).map { Int32($0 % width) },
      bounds: (0...rows).map { $0 * width }, rows: labelled, targets: targets)
  }
}

/// ‖a − b‖ / ‖b‖ in double precision.
package func relativeError(_ found: [Float], _ expected: [Float]) -> Double {
  var difference = 0.0
  var norm = 0.0
  for (a, b) in zip(found, expected) {
    difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
    norm += Double(b) * Double(b)
  }
  return (difference / max(norm, .leastNormalMagnitude)).squareRoot()
}
