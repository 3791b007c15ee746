// Picture files and scaled pictures are what Pillow makes of them.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAPictures
import TestSupport
import Testing

@Suite struct PictureTests {
  private let goldens: SafetensorsFile
  private let folder: TemporaryFolder

  /// Whether this machine has the libraries that JPEG and WebP files are read with.
  static let hasLibraries: Bool = ["color.jpg", "lossy.webp"].allSatisfy { name in
    do {
      _ = try PictureFile.read(Goldens.path("pictures/\(name)"))
      return true
    } catch {
      return (error as? Diagnostic)?.code != .pictureLibraryMissing
    }
  }

  init() throws {
    goldens = try SafetensorsFile(path: Goldens.path("pictures/goldens.safetensors"))
    folder = try TemporaryFolder()
  }

  private func picture(_ name: String, _ file: SafetensorsFile) throws -> PixelBytes {
    let shape = try file.entry(name).shape
    return PixelBytes(
      width: shape[1], height: shape[0],
      values: try file.readTensor(name).withBytes { Array($0) })
  }

  @Test(arguments: [
    "color", "grey", "bits", "palette", "few", "alpha", "grey-alpha", "smooth",
  ])
  func pixelsOfPNG(_ kind: String) throws {
    let file = try SafetensorsFile(path: Goldens.path("latents/goldens.safetensors"))
    let found = try PictureFile.read(Goldens.path("latents/pictures/\(kind).png"))
    #expect(try found == picture("pixels.\(kind)", file))
  }

  @Test(
    .enabled(if: hasLibraries, "libturbojpeg or libwebp is missing"),
    arguments: [
      "color.jpg", "whole.jpg", "halves.jpg", "progressive.jpg", "grey.jpg", "lossy.webp",
      "alpha.webp",
    ] + (1...8).map { "turned-\($0).jpg" })
  func pixelsOfLibraries(_ name: String) throws {
    let found = try PictureFile.read(Goldens.path("pictures/\(name)"))
    let kind = String(name.split(separator: ".")[0])
    #expect(try found == picture("pixels.\(kind)", goldens))
  }

  @Test(
    .enabled(if: hasLibraries, "libturbojpeg or libwebp is missing"),
    arguments: [("inks.jpg", "inks"), ("moving.webp", "animated")])
  func whatIsNoPictureOfThreeColours(_ name: String, _ says: String) throws {
    let error = #expect(throws: Diagnostic.self) {
      _ = try PictureFile.read(Goldens.path("pictures/\(name)"))
    }
    #expect(error?.code == .pictureInvalid && error?.message.contains(says) == true)
  }

  @Test(.enabled(if: hasLibraries, "libturbojpeg or libwebp is missing"))
  func halfAPictureIsNone() throws {
    for name in ["color.jpg", "progressive.jpg", "lossy.webp", "alpha.webp"] {
      let whole = try Data(contentsOf: Goldens.url("pictures/\(name)"))
      let path = folder.path(name)
      for count in stride(from: 4, to: whole.count - 40, by: 37) {
        try whole.prefix(count).write(to: URL(filePath: path))
        #expect(throws: Diagnostic.self, "\(name) \(count)") { _ = try PictureFile.read(path) }
      }
    }
  }

  /// As some cameras write them: zeros between two parts, here behind the first.
  @Test(.enabled(if: hasLibraries, "libturbojpeg or libwebp is missing"))
  func bytesThatBelongToNothingAreSkipped() throws {
    let whole = try Data(contentsOf: Goldens.url("pictures/color.jpg"))
    let path = folder.path("camera.jpg")
    let first = 4 + (Int(whole[4]) << 8 | Int(whole[5]))
    try (whole.prefix(first) + [0, 0, 0] + whole.dropFirst(first)).write(to: URL(filePath: path))
    #expect(try PictureFile.read(path) == picture("pixels.color", goldens))
  }

  /// Nothing that a file says may lead to more than an error.
  @Test func damagedBytesEndInAnErrorOrAPicture() throws {
    var random = SeededGenerator(seed: 4)
    for name in ["turned-6.jpg", "progressive.jpg", "lossy.webp", "alpha.webp", "inks.jpg"] {
      let whole = try Data(contentsOf: Goldens.url("pictures/\(name)"))
      let path = folder.path(name)
      for index in stride(from: 2, to: whole.count, by: 5) {
        var bytes = whole
        bytes[index] ^= UInt8(1 + random.next() % 255)
        try bytes.write(to: URL(filePath: path))
        guard let picture = try? PictureFile.read(path) else { continue }
        #expect(picture.values.count == 3 * picture.width * picture.height)
      }
    }
  }

  @Test func everyDamagedPNGIsRefused() throws {
    let whole = try Data(contentsOf: Goldens.url("latents/pictures/palette.png"))
    let path = folder.path("damaged.png")
    var random = SeededGenerator(seed: 3)
    for index in 0..<whole.count where index % 7 == 0 {
      var bytes = whole
      bytes[index] ^= UInt8(1 + random.next() % 255)
      for data in [bytes, whole.prefix(index)] {
        try data.write(to: URL(filePath: path))
        #expect(throws: Diagnostic.self, "byte \(index)") { _ = try PictureFile.read(path) }
      }
    }
  }

  @Test func anotherFormatIsNamed() throws {
    let path = folder.path("picture.jpg")
    try Data("GIF89a".utf8).write(to: URL(filePath: path))
    let error = #expect(throws: Diagnostic.self) { _ = try PictureFile.read(path) }
    #expect(error?.code == .pictureInvalid && error?.message.contains("WebP") == true)
  }

  @Test(arguments: [(25, 17), (12, 8), (7, 5), (60, 33), (25, 9), (3, 17)])
  func scalesAsPillowDoes(_ width: Int, _ height: Int) throws {
    let original = try picture("original", goldens)
    #expect(
      try original.scaled(width: width, height: height)
        == picture("scaled.\(width)x\(height)", goldens))
  }

  @Test(arguments: [(40, 30, 15, 20, 15), (30, 40, 15, 15, 20), (33, 10, 7, 23, 7)])
  func keepsProportions(
    _ width: Int, _ height: Int, _ side: Int, _ newWidth: Int, _ newHeight: Int
  ) {
    let picture = PixelBytes(
      width: width, height: height, values: [UInt8](repeating: 7, count: 3 * width * height))
    let scaled = picture.scaled(shorterSide: side)
    #expect(scaled.width == newWidth && scaled.height == newHeight)
    #expect(scaled.values == [UInt8](repeating: 7, count: 3 * newWidth * newHeight))
  }
}
