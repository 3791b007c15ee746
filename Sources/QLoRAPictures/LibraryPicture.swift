// Pictures that a library of the system decodes.
import CQLoRAPictures
import QLoRADiagnostics

package enum LibraryPicture: String, CaseIterable {
  case jpeg = "JPEG"
  case webP = "WebP"

  package var library: String { self == .jpeg ? "libturbojpeg" : "libwebp" }

  /// Whether this machine has the library.
  package var isReadable: Bool {
    var (width, height) = (Int32(0), Int32(0))
    let state =
      self == .jpeg ? qlora_jpeg_size([], 0, &width, &height)
      : qlora_webp_size([], 0, &width, &height)
    return Int(state) != QLORA_PICTURE_NO_LIBRARY
  }

  /// As the file has it, however the camera was held.
  /// - Throws: `pictureInvalid`, `pictureLibraryMissing`.
  func read(_ bytes: [UInt8], _ path: String) throws -> PixelBytes {
    var (width, height) = (Int32(0), Int32(0))
    try check(
      self == .jpeg
        ? qlora_jpeg_size(bytes, bytes.count, &width, &height)
        : qlora_webp_size(bytes, bytes.count, &width, &height), path)
    var picture = PixelBytes(width: Int(width), height: Int(height), values: [])
    try PictureFile.check(width: picture.width, height: picture.height, path)
    picture.values = [UInt8](repeating: 0, count: 3 * picture.width * picture.height)
    try check(
      self == .jpeg
        ? qlora_jpeg_pixels(bytes, bytes.count, width, height, &picture.values)
        : qlora_webp_pixels(bytes, bytes.count, width, height, &picture.values), path)
    return picture
  }

  private func check(_ state: Int32, _ path: String) throws {
    switch Int(state) {
    case QLORA_PICTURE_READ: return
    case QLORA_PICTURE_NO_LIBRARY:
      throw Diagnostic(
        .pictureLibraryMissing, "\(library), which reads this picture, is not on this machine",
        at: .file(path),
        remedy: "install it (on Debian and Ubuntu: \(packages)), or save the picture as PNG")
    case QLORA_PICTURE_IS_CMYK:
      throw PictureFile.failure("it is made of four inks instead of three colours", path)
    default: throw PictureFile.failure("it is damaged, cut short or animated", path)
    }
  }

  private var packages: String {
    self == .jpeg ? "libturbojpeg0 or libturbojpeg" : "libwebp7"
  }
}
