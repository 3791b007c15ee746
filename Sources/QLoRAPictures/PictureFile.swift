// A picture file of any format that is read, told by how it begins, whatever its name says.
import QLoRADiagnostics
import QLoRASystem

package enum PictureFile {
  /// What names of pictures end in, in lower case.
  package static let endings = ["png", "jpg", "jpeg", "webp"]
  private static let largestFile = 1 << 28

  /// - Throws: `pictureInvalid`, `pictureLibraryMissing`; what reading the file throws.
  package static func read(_ path: String) throws -> PixelBytes {
    let bytes = try InputFile(path: path).wholeBytes(limit: largestFile)
    if bytes.starts(with: PNGFile.signature) { return try PNGReader.read(bytes, path) }
    if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
      return try LibraryPicture.jpeg.read(bytes, path).upright(Orientation.ofJPEG(bytes))
    }
    if bytes.starts(with: Array("RIFF".utf8)), bytes.dropFirst(8).starts(with: Array("WEBP".utf8)) {
      return try LibraryPicture.webP.read(bytes, path)
    }
    throw failure("this is no PNG, JPEG or WebP file", path)
  }

  static func failure(_ message: String, _ path: String) -> Diagnostic {
    Diagnostic(
      .pictureInvalid, message, at: .file(path),
      remedy: "save the picture again as an ordinary PNG file")
  }

  /// - Throws: `pictureInvalid` for a picture without pixels or with too many.
  static func check(width: Int, height: Int, _ path: String) throws {
    guard PixelBytes.admits(width: width, height: height) else {
      throw failure("\(width) × \(height) pixels are none, or more than are read", path)
    }
  }
}
