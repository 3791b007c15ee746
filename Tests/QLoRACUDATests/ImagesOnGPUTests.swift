// Transformers of images and the parts around them on the simulated device, within the bounds of
// the CPU's.
import Foundation
import QLoRACPU
import QLoRAFormats
import QLoRAImage
import QLoRAModels
import QLoRATensor
import TestSupport
import Testing
import TinyModel

@Suite struct ImagesOnGPUTests {
  private let plain = LoadOptions(quantization: nil, computeDType: .float32)

  private func backend() throws -> SimulatedBackend {
    try BothBackends.cuda(host: CPUBackend(threads: 1), growthBytes: 4 << 20)
  }

  private func part(_ family: String, _ name: String) throws -> PartFolder {
    try PartFolder(Goldens.path("tiny-\(family)-pipeline/\(name)"))
  }

  private func golden(_ family: String, _ name: String) throws -> [Float] {
    try SafetensorsFile(path: Goldens.path("tiny-\(family)-pipeline.safetensors"))
      .readTensor(name).floats()
  }

  private func tokens(_ family: String, _ name: String) throws -> [Int32] {
    let data = try Data(contentsOf: Goldens.url("tiny-\(family)-pipeline/tokens.json"))
    return try #require(try JSONDecoder().decode([String: [Int32]].self, from: data)[name])
  }

  @Test(arguments: TinyImageFamily.allCases, [ImageBase.float32, .nf4dq])
  func everyGradientByName(_ family: TinyImageFamily, _ base: ImageBase) throws {
    let tiny = try TinyImageModel(family, base, on: backend())
    try tiny.addAdapter()
    let step = try tiny.step()
    let tape = Tape(backend: tiny.model.backend)
    let sum = tape.squaredError(
      tiny.model.velocity(step.input, on: tape), target: step.target, weights: step.weights,
      bounds: step.input.imageBounds)
    tape.runBackward()
    try tiny.model.backend.checkHealth()
    let loss = Double(try tiny.expected("loss")[0])
    #expect(abs(sum - loss) / loss <= 1e-5)
    for parameter in tiny.model.parameters {
      let name = parameter.name.dropFirst("base_model.model.".count).dropLast(".weight".count)
      let expected = try tiny.expected("gradient.\(name)")
      let largest = expected.map { abs($0) }.max() ?? 0
      let worst = largestDifference(parameter.gradient.floats(), expected)
      #expect(worst <= 1e-4 * max(1, largest), "\(name): \(worst) of \(largest)")
    }
  }

  @Test func promptsAreEncoded() throws {
    let clip = try CLIPTextEncoder(
      part("flux", "text_encoder"), backend: backend(), options: plain
    ).encode(try tokens("flux", "tokenizer"))
    #expect(largestDifference(clip.pooled, try golden("flux", "pooled_prompt_embeds")) <= 1e-4)
    let rows = try T5Encoder(
      part("flux", "text_encoder_2"), backend: backend(), options: plain
    ).encode(try tokens("flux", "tokenizer_2"))
    #expect(largestDifference(rows, try golden("flux", "prompt_embeds")) <= 1e-4)
  }

  @Test func latentsBecomeAPicture() throws {
    let decoder = try LatentDecoder(part("flux", "vae"), backend: backend())
    let picture = try decoder.decode(try golden("flux", "sampled"), height: 8, width: 12)
    let found = picture.values.map { min(max($0 / 2 + 0.5, 0), 1) }
    #expect(largestDifference(found, try golden("flux", "picture")) <= 1e-3)
  }
}
