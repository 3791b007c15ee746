// Recognises by their first bytes the files that people hand in by mistake, so that the error can
// name the remedy. It accepts nothing: the readers ask it only after a file failed their rules.
import QLoRADiagnostics

package enum ForeignFile {
  /// How a Git LFS pointer begins.
  static let pointerStart = Array("version https://git-lfs".utf8)

  /// First bytes of what else lies about in a downloads folder.
  private static let strangers: [(magic: [UInt8], kind: String)] = [
    ([0x89, 0x50, 0x4E, 0x47], "a PNG picture"), ([0xFF, 0xD8, 0xFF], "a JPEG picture"),
    (Array("GIF8".utf8), "a GIF picture"), (Array("%PDF".utf8), "a PDF document"),
    ([0x1F, 0x8B], "a gzip archive"), ([0x28, 0xB5, 0x2F, 0xFD], "a Zstandard archive"),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "an xz archive"), ([0x7F, 0x45, 0x4C, 0x46], "a program"),
    ([0x89, 0x48, 0x44, 0x46], "an HDF5 file"),
  ]

  /// What the file is, where its first bytes tell; nil for an unknown file.
  package static func diagnose(_ file: InputFile) throws(Diagnostic) -> Diagnostic? {
    let head = try file.bytes(0..<min(file.byteCount, 64))
    let place = DiagnosticLocation.file(file.path)
    if head.starts(with: pointerStart) {
      return Diagnostic(
        .fileIsLFSPointer, "this is a Git LFS pointer, not the file itself", at: place,
        remedy: "run `git lfs pull` in its folder")
    }
    let isZip = head.starts(with: [0x50, 0x4B, 0x03, 0x04])
    let isPickle = head.count >= 2 && head[0] == 0x80 && (2...5).contains(head[1])
    if isZip || isPickle {
      return Diagnostic(
        .fileIsPickle, "this is a PyTorch pickle, which could run code when read", at: place,
        remedy: "use the model's safetensors files; `qlora explain E0205` tells how to make them")
    }
    if head.starts(with: "GGUF".utf8) {
      return Diagnostic(
        .fileIsForeign, "this is a GGUF file, expected safetensors", at: place,
        remedy: "name it *.gguf and give its path as the model")
    }
    for (magic, kind) in strangers where head.starts(with: magic) {
      return Diagnostic(
        .fileIsForeign, "this is \(kind), not a model", at: place,
        remedy: "give a model folder, or a .gguf file")
    }
    let text = String(decoding: head, as: UTF8.self).lowercased()
    if text.hasPrefix("<!doctype") || text.hasPrefix("<html") || text.hasPrefix("<?xml") {
      return Diagnostic(
        .fileIsForeign, "this is a web page, not a model; the download got an error page",
        at: place, remedy: "download the file again")
    }
    return nil
  }
}
