// Bytes that come in pieces, so that no file has to fit into memory, and the two ways in which a
// container reads its file: from front to back, or at chosen places.
import QLoRADiagnostics
import QLoRASystem

/// A sequence of bytes, read once.
package protocol ByteStream: AnyObject {
  /// The next bytes; none at the end.
  func next() throws(Diagnostic) -> [UInt8]
}

/// Bytes at known places: a file, or memory in tests.
package protocol ByteStore: Sendable {
  var byteCount: Int { get }
  /// A copy of `range`, which lies within the store.
  func bytes(_ range: Range<Int>) throws(Diagnostic) -> [UInt8]
}

extension InputFile: ByteStore {}

package struct MemoryBytes: ByteStore {
  let content: [UInt8]

  package init(_ content: [UInt8]) { self.content = content }

  package var byteCount: Int { content.count }

  package func bytes(_ range: Range<Int>) -> [UInt8] { Array(content[range]) }
}

/// A store from its first byte to its last.
final class StoredBytes: ByteStream {
  /// Large enough that a call of the system costs nothing beside the copy.
  private static let pieceBytes = 1 << 18

  private let store: any ByteStore
  private var position = 0

  init(_ store: any ByteStore) { self.store = store }

  func next() throws(Diagnostic) -> [UInt8] {
    let end = min(position + Self.pieceBytes, store.byteCount)
    defer { position = end }
    return try store.bytes(position..<end)
  }
}
