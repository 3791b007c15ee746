// A file that a user names for a command to write: complete, and never over another.
import QLoRADiagnostics
import QLoRAPipeline

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

enum NewFile {
  /// To be asked before work whose result could not be kept.
  /// - Throws: 73 where there is a file.
  static func requireAbsent(
    _ path: String, remedy: String = "choose another name, or remove it"
  ) throws {
    guard !FileManager.default.fileExists(atPath: path) else {
      throw Diagnostic(
        .outputInTheWay, "the file exists already", at: .file(path), remedy: remedy)
    }
  }

  /// - Throws: 73 where there is a file, 74 where it cannot be written.
  static func write(
    _ bytes: some Sequence<UInt8>, to path: String,
    remedy: String = "choose another name, or remove it"
  ) throws {
    try requireAbsent(path, remedy: remedy)
    // A folder that a user has misspelled must not come into being.
    let folder = URL(filePath: path).deletingLastPathComponent().path
    guard FileManager.default.fileExists(atPath: folder) else {
      throw Diagnostic(
        .cannotWrite, "the file cannot be written: its folder does not exist", at: .file(path))
    }
    do {
      try Pipeline.writeNew(Array(bytes), to: path)
    } catch let failure as Diagnostic {
      throw Diagnostic(
        .cannotWrite, "the file cannot be written: \(failure.message)", at: .file(path))
    }
  }
}
