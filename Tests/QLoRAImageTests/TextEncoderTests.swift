// Text encoders and the decoder of latents against torch, transformers and diffusers.
import Foundation
import QLoRACPU
import QLoRAFormats
import QLoRAImage
import QLoRAModels
import QLoRATensor
import TestSupport
import Testing
import TinyModel

@Suite struct TextEncoderTests {
  private let backend: CPUBackend
  private let plain = LoadOptions(quantization: nil, computeDType: .float32)

  init() throws { backend = try CPUBackend(threads: 2) }

  private func part(_ family: String, _ name: String) throws -> PartFolder {
    try PartFolder(Goldens.path("tiny-\(family)-pipeline/\(name)"))
  }

  private func golden(_ family: String, _ name: String) throws -> [Float] {
    try SafetensorsFile(path: Goldens.path("tiny-\(family)-pipeline.safetensors"))
      .readTensor(name).floats()
  }

  private func tokens(_ family: String, _ name: String) throws -> [Int32] {
    let data = try Data(contentsOf: Goldens.url("tiny-\(family)-pipeline/tokens.json"))
    let lists = try JSONDecoder().decode([String: [Int32]].self, from: data)
    return try #require(lists[name])
  }

  @Test func clipGivesWhatTransformersGives() throws {
    let encoder = try CLIPTextEncoder(
      part("flux", "text_encoder"), backend: backend, options: plain)
    let found = encoder.encode(try tokens("flux", "tokenizer"))
    let expected = try golden("flux", "pooled_prompt_embeds")
    #expect(largestDifference(found.pooled, expected) <= 1e-4)
  }

  /// Projections, both kinds of GELU, both ways of finding the end, and the state before the last
  /// layer.
  @Test func bothClipsOfStableDiffusion() throws {
    let first = try CLIPTextEncoder(
      part("sd3", "text_encoder"), backend: backend, options: plain
    ).encode(try tokens("sd3", "tokenizer"))
    let second = try CLIPTextEncoder(
      part("sd3", "text_encoder_2"), backend: backend, options: plain
    ).encode(try tokens("sd3", "tokenizer_2"))
    let pooled = try golden("sd3", "pooled_prompt_embeds")
    #expect(largestDifference(first.pooled + second.pooled, pooled) <= 1e-4)
    let rows = try golden("sd3", "prompt_embeds")
    for row in 0..<9 {
      let expected = Array(rows[row * 40..<row * 40 + 32])
      let found = [first, second].flatMap { $0.penultimate[row * 16..<row * 16 + 16] }
      #expect(largestDifference(found, expected) <= 1e-4)
    }
  }

  @Test func t5GivesWhatTransformersGives() throws {
    let encoder = try T5Encoder(
      part("flux", "text_encoder_2"), backend: backend, options: plain)
    let found = try encoder.encode(try tokens("flux", "tokenizer_2"))
    #expect(largestDifference(found, try golden("flux", "prompt_embeds")) <= 1e-4)
  }

  /// In 4 bits the same prompt is near, and not the same.
  @Test func t5IsQuantizedWhileItIsLoaded() throws {
    let encoder = try T5Encoder(
      part("flux", "text_encoder_2"), backend: backend,
      options: LoadOptions(quantization: .fourBit(QuantizationSpec()), computeDType: .float32))
    let found = try encoder.encode(try tokens("flux", "tokenizer_2"))
    let error = relativeError(found, try golden("flux", "prompt_embeds"))
    #expect(error > 0.01 && error < 0.5)
  }

  @Test(arguments: ["flux", "sd3"])
  func latentsBecomeThePictureOfDiffusers(_ family: String) throws {
    let decoder = try LatentDecoder(part(family, "vae"), backend: backend)
    let picture = try decoder.decode(try golden(family, "sampled"), height: 8, width: 12)
    #expect(picture.height == 16 && picture.width == 24)
    let expected = try golden(family, "picture")
    let found = picture.values.map { min(max($0 / 2 + 0.5, 0), 1) }
    #expect(largestDifference(found, expected) <= 1e-3)
    #expect(Set(picture.bytes).count > 50)
  }

  private func relativeError(_ found: [Float], _ expected: [Float]) -> Float {
    let difference = zip(found, expected).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let size = expected.reduce(0) { $0 + $1 * $1 }
    return (difference / size).squareRoot()
  }
}
