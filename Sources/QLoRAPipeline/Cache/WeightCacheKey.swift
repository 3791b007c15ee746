// What a cached base is known by. Equal keys mean equal prepared weights, byte for byte.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRASystem
import QLoRATensor

/// Everything that the bytes of a prepared base depend on.
struct WeightCacheKey {
  /// Counts changes of the container: of the index or of where things lie.
  static let formatVersion = 1

  /// Thirty-two hexadecimal digits: the name of the entry.
  let name: String
  /// The same in words, for the entry's manifest.
  let facts: [JSONMember]

  /// - Parameters:
  ///   - content: the digest of the model's files, by their bytes and by nothing else.
  ///   - layout: of the backend. The instruction set is no part of it.
  init(content: Digest, options: LoadOptions, layout: String) {
    // The version stands in for the code that reads and quantizes.
    facts = [
      JSONMember("format", .int(Self.formatVersion)), JSONMember("tool", .string(ToolVersion.text)),
      JSONMember("layout", .string(layout)), JSONMember("base", .string("\(content)")),
      JSONMember("options", TrainedWith.json(options)),
    ]
    name = "\(Digest(of: JSONWriter.text(.object(facts)).utf8))"
  }
}

extension ModelSource {
  /// The digest of the model's files, of all their bytes in order.
  ///
  /// - Throws: what reading throws.
  func contentDigest() throws -> Digest { try Digest(ofContents: digestInputs) }
}

extension Digest {
  /// The digest of several files' bytes, one after the other.
  init(ofContents files: [InputFile]) throws {
    let stream = StreamingDigest()
    for file in files {
      try file.forEachPiece(from: 0, count: file.byteCount) { piece, _ in stream.update(piece) }
    }
    self = stream.digest
  }
}
