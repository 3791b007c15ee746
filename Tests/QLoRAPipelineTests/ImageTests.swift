// Pictures and runs on images from tiny random pipelines, end to end.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAImage
import QLoRAPipeline
import QLoRARecipe
import QLoRATensor
import TestSupport
import Testing

@Suite struct ImageTests {
  private func request(_ family: String) -> ImageRequest {
    let folder = Goldens.path("tiny-\(family)-pipeline")
    return ImageRequest(
      model: folder, adapter: nil, prompt: .tokens(path: folder + "/tokens.json"), width: 24,
      height: 16, steps: 4, guidance: family == "flux" ? 3.5 : 4, seed: 0,
      noisePath: folder + ".safetensors", quantization: nil, computeDType: "float32", threads: 2)
  }

  @Test(arguments: ["flux", "sd3"])
  func aPictureIsThatOfDiffusers(_ family: String) throws {
    let picture = try Pipeline.picture(request(family))
    let golden = try SafetensorsFile(path: Goldens.path("tiny-\(family)-pipeline.safetensors"))
    let expected = try golden.readTensor("picture").floats()
    let found = picture.values.map { min(max($0 / 2 + 0.5, 0), 1) }
    #expect(found.count == expected.count)
    let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst <= 1e-3, "largest difference \(worst)")
  }

  @Test func aPictureIsAPNGFile() throws {
    let bytes = try Pipeline.image(request("flux")) { _ in }
    #expect(Array(bytes[1..<4]) == Array("PNG".utf8))
    #expect(Array(bytes[16..<24]) == [0, 0, 0, 24, 0, 0, 0, 16])
  }

  @Test func aSeedDrawsThePictureAgain() throws {
    var request = request("flux")
    request.noisePath = nil
    let first = try Pipeline.image(request) { _ in }
    #expect(try Pipeline.image(request) { _ in } == first)
    request.seed = 1
    #expect(try Pipeline.image(request) { _ in } != first)
  }

  @Test func aSizeThatPatchesDoNotCoverIsRefused() throws {
    var request = request("flux")
    request.width = 26
    let error = #expect(throws: Diagnostic.self) { try Pipeline.picture(request) }
    #expect(error?.code == .imageSizeInvalid)
  }

  @Test func tokensOutsideOfTheVocabularyAreRefused() throws {
    let folder = try TemporaryFolder()
    try Data(#"{"tokenizer": [1, 40], "tokenizer_2": [1]}"#.utf8)
      .write(to: folder.url.appending(path: "tokens.json"))
    var request = request("flux")
    request.prompt = .tokens(path: folder.path("tokens.json"))
    let error = #expect(throws: Diagnostic.self) { try Pipeline.picture(request) }
    #expect(error?.code == .imagePromptInvalid)
  }

  /// What was quantized into a folder beforehand is what is quantized on the way, bit for bit.
  @Test func aQuantizedFolderGivesTheSamePicture() throws {
    let folder = try TemporaryFolder()
    let whole = Goldens.path("tiny-flux-pipeline")
    for part in ["model_index.json", "scheduler", "text_encoder", "vae"] {
      try FileManager.default.createSymbolicLink(
        atPath: folder.path(part), withDestinationPath: "\(whole)/\(part)")
    }
    for part in ["transformer", "text_encoder_2"] {
      _ = try Pipeline.quantize(
        model: "\(whole)/\(part)", QuantizationOptions(), to: folder.path(part))
    }
    var held = request("flux")
    held.model = folder.url.path(percentEncoded: false)
    var onTheWay = request("flux")
    onTheWay.quantization = "nf4"
    #expect(try Pipeline.picture(held).values == Pipeline.picture(onTheWay).values)
    #expect(try Pipeline.picture(held).values != Pipeline.picture(request("flux")).values)
  }
}
