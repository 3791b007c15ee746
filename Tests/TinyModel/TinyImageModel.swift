// The tiny random transformers of the goldens, made with torch, diffusers, PEFT and bitsandbytes.
import QLoRACPU
import QLoRAFormats
import QLoRAImage
import QLoRAModels
import QLoRATensor
import TestSupport

package enum TinyImageFamily: String, CaseIterable, Sendable {
  case flux = "tiny-flux"
  case sd3 = "tiny-sd3"
}

/// Which base the goldens were made on.
package enum ImageBase: String, CaseIterable, Sendable {
  case float32, nf4dq, fp4dq, int8

  package var quantization: WeightQuantization? {
    switch self {
    case .float32: nil
    case .nf4dq: .fourBit(QuantizationSpec())
    case .fp4dq: .fourBit(QuantizationSpec(type: .fp4))
    case .int8: .int8(Int8Spec())
    }
  }

  /// The file of what was made on the base.
  package func goldens(_ family: TinyImageFamily) -> String {
    let isFirst = self == .float32 || self == .nf4dq
    return family.rawValue + (isFirst ? "" : "-bases") + ".safetensors"
  }
}

package struct TinyImageModel {
  /// Inputs and adapter, and what is expected of the base.
  private let goldens: SafetensorsFile
  private let results: SafetensorsFile
  package let base: ImageBase
  package let model: ImageModel

  package init(
    _ family: TinyImageFamily, _ base: ImageBase, threads: Int = 2,
    on backend: (any Backend)? = nil, dtype: DType = .float32
  ) throws {
    self.base = base
    goldens = try SafetensorsFile(path: Goldens.path(family.rawValue + ".safetensors"))
    results = try SafetensorsFile(path: Goldens.path(base.goldens(family)))
    model = try ImageModel(
      PartFolder(Goldens.path(family.rawValue)),
      backend: try backend ?? CPUBackend(threads: threads),
      options: LoadOptions(quantization: base.quantization, computeDType: dtype))
  }

  package func floats(_ name: String) throws -> [Float] { try goldens.readTensor(name).floats() }

  /// What torch has on this base.
  package func expected(_ name: String) throws -> [Float] {
    try results.readTensor("\(base.rawValue).\(name)").floats()
  }

  /// The golden adapter on every linear of the blocks.
  package func addAdapter() throws {
    let suffix = ".lora_A"
    let pairs = try goldens.entries.map(\.name).filter {
      $0.hasPrefix("adapter.") && $0.hasSuffix(suffix)
    }.map { name in
      let module = String(name.dropFirst("adapter.".count).dropLast(suffix.count))
      return PEFTAdapter.Pair(
        module: module, a: try goldens.readTensor(name),
        b: try goldens.readTensor("adapter.\(module).lora_B"))
    }
    let config = PEFTAdapterConfig(
      baseModel: nil, rank: 4, alpha: 6, targets: .list(pairs.map(\.module)))
    try model.addAdapters(PEFTAdapter(config: config, pairs: pairs))
  }

  /// The two samples of the goldens, and what they are to be predicted as.
  package func step() throws -> (input: ImageInput, target: Tensor, weights: [Float]) {
    let latents = try goldens.readTensor("latents")
    let (clean, noise) = (latents.floats(), try floats("noise"))
    let sigmas = try floats("sigmas")
    let grid = PatchGrid(
      channels: latents.shape[1], rows: latents.shape[2] / 2, columns: latents.shape[3] / 2,
      edge: 2)
    let size = grid.count * grid.width
    var (patches, targets): ([Float], [Float]) = ([], [])
    for sample in 0..<latents.shape[0] {
      let range = sample * size..<(sample + 1) * size
      let noisy = range.map { (1 - sigmas[sample]) * clean[$0] + sigmas[sample] * noise[$0] }
      patches += grid.patches(noisy, .channelsFirst)
      targets += grid.patches(range.map { noise[$0] - clean[$0] }, model.size.outputOrder)
    }
    let prompt = try goldens.readTensor("prompt")
    let rows: Shape = [latents.shape[0] * grid.count, grid.width]
    let input = ImageInput(
      grids: Array(repeating: grid, count: latents.shape[0]), patches: Tensor(patches, shape: rows),
      prompts: prompt.reshaped([prompt.shape[0] * prompt.shape[1], prompt.shape[2]]),
      promptLengths: Array(repeating: prompt.shape[1], count: prompt.shape[0]),
      pooled: try goldens.readTensor("pooled"), sigmas: sigmas,
      guidances: try floats("guidance"))
    return (input, Tensor(targets, shape: rows), try floats("weights"))
  }

  /// A prediction of rows as the goldens have it: FLUX as rows, SD3 as latents.
  package func arranged(_ rows: [Float], _ family: TinyImageFamily) throws -> [Float] {
    guard family == .sd3 else { return rows }
    let input = try step().input
    let grid = input.grids[0]
    let size = grid.count * grid.width
    return (0..<input.grids.count).flatMap {
      grid.latent(Array(rows[$0 * size..<($0 + 1) * size]), .channelsLast)
    }
  }
}

/// The largest difference, and infinity where the counts differ.
package func largestDifference(_ found: [Float], _ expected: [Float]) -> Float {
  guard found.count == expected.count else { return .infinity }
  return zip(found, expected).map { abs($0 - $1) }.max() ?? 0
}
