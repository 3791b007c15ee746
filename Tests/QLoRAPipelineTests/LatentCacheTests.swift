// Pictures and captions to latents and embeddings, against diffusers.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct LatentCacheTests {
  private let goldens: SafetensorsFile
  private let folder: TemporaryFolder

  init() throws {
    goldens = try SafetensorsFile(path: Goldens.path("latents/goldens.safetensors"))
    folder = try TemporaryFolder()
  }

  private func floats(_ name: String) throws -> [Float] { try goldens.readTensor(name).floats() }

  /// A tiny pipeline with the tiny tokenizers, in the layout of published folders.
  private func request(_ family: String) throws -> LatentRequest {
    let model = folder.url.appending(path: family)
    try FileManager.default.createDirectory(at: model, withIntermediateDirectories: true)
    let whole = Goldens.path("tiny-\(family)-pipeline")
    for part in try FileManager.default.contentsOfDirectory(atPath: whole) {
      try FileManager.default.createSymbolicLink(
        atPath: model.appending(path: part).path, withDestinationPath: "\(whole)/\(part)")
    }
    let tokenizers =
      family == "flux"
      ? [("tokenizer", "tokenizer"), ("tokenizer_2", "tokenizer_3")]
      : ["tokenizer", "tokenizer_2", "tokenizer_3"].map { ($0, $0) }
    for (name, kind) in tokenizers {
      try FileManager.default.createSymbolicLink(
        atPath: model.appending(path: name).path,
        withDestinationPath: Goldens.path("latents/\(kind)"))
    }
    return LatentRequest(
      model: model.path, pictures: Goldens.path("latents/captioned"),
      output: folder.path("\(family)-latents"), quantization: nil, computeDType: "float32",
      maxTokens: 7, threads: 2)
  }

  @Test(arguments: ["flux", "sd3"])
  func filesHoldWhatDiffusersMakes(_ family: String) throws {
    let request = try request(family)
    let (written, kept) = try Pipeline.cacheLatents(request) { _ in }
    #expect(written == 2 && kept == 0)
    for name in ["first", "second"] {
      let file = try SafetensorsFile(path: request.output + "/\(name).safetensors")
      for tensor in ["latents", "prompt_embeds", "pooled_prompt_embeds"] {
        let expected = try goldens.entry("\(family).\(name).\(tensor)").shape
        #expect(try file.entry(tensor).shape == expected)
        let worst = zip(
          try file.readTensor(tensor).floats(), try floats("\(family).\(name).\(tensor)")
        ).map { abs($0 - $1) }.max()
        #expect(try #require(worst) <= 1e-4, "\(name) \(tensor)")
      }
    }
    // What is there stays.
    try FileManager.default.removeItem(atPath: request.output + "/first.safetensors")
    let again = try Pipeline.cacheLatents(request) { _ in }
    #expect(again.written == 1 && again.kept == 1)
  }

  @Test func aMissingCaptionIsNamed() throws {
    var request = try request("flux")
    request.pictures = Goldens.path("latents/pictures")
    let error = #expect(throws: Diagnostic.self) {
      try Pipeline.cacheLatents(request) { _ in }
    }
    #expect(error?.code.number == "E0543" && error?.message.contains("alpha.png") == true)
  }

  /// A folder with one picture and its caption.
  private func odd(_ name: String) throws -> String {
    let pictures = folder.url.appending(path: "odd")
    try FileManager.default.createDirectory(at: pictures, withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: Goldens.path("latents/pictures/color.png"),
      toPath: pictures.appending(path: name).path)
    try Data("aba".utf8).write(to: pictures.appending(path: "odd.txt"))
    return pictures.path
  }

  private func shape(_ request: LatentRequest) throws -> Shape {
    try SafetensorsFile(path: request.output + "/odd.safetensors").entry("latents").shape
  }

  /// A picture whose sides patches do not cover loses its edges, on both sides alike.
  @Test func sidesAreCutToPatches() throws {
    var request = try request("flux")
    request.pictures = try odd("odd.png")
    _ = try Pipeline.cacheLatents(request) { _ in }
    // 17 × 25 pixels, two for a latent and two latents for a patch.
    #expect(try shape(request) == [4, 8, 12])
  }

  @Test func picturesAreScaledFirst() throws {
    var request = try request("flux")
    // Names of cameras end in capitals.
    request.pictures = try odd("odd.PNG")
    request.side = 9
    _ = try Pipeline.cacheLatents(request) { _ in }
    // 9 × 13 pixels.
    #expect(try shape(request) == [4, 4, 6])
  }

  @Test func twoPicturesOfOneNameAreRefused() throws {
    var request = try request("flux")
    request.pictures = try odd("odd.png")
    _ = try odd("odd.jpg")
    let error = #expect(throws: Diagnostic.self) {
      try Pipeline.cacheLatents(request) { _ in }
    }
    #expect(error?.message.contains("odd.jpg and odd.png") == true)
  }
}
