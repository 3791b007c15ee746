// Zstandard (RFC 8878) undone as a stream: frames follow each other, and windows beyond the
// library's limit of 128 MiB are refused by it.
import CZstd
import QLoRADiagnostics

final class ZstdBytes: ByteStream {
  private static let pieceBytes = 1 << 18

  private let source: any ByteStream
  private let file: String
  // SAFETY: owned by this object alone, and freed with it.
  private let state: OpaquePointer
  private var input: [UInt8] = []
  private var used = 0
  /// Whether a frame has begun and not ended, or output waits in the library.
  private var isWithinFrame = false
  private var isAtEnd = false

  init(_ source: any ByteStream, file: String) {
    self.source = source
    self.file = file
    guard let state = ZSTD_createDStream() else { preconditionFailure("out of memory") }
    self.state = state
  }

  deinit { ZSTD_freeDStream(state) }

  func next() throws(Diagnostic) -> [UInt8] {
    var output: [UInt8] = []
    while output.isEmpty, !isAtEnd {
      if used == input.count {
        input = try source.next()
        used = 0
        if input.isEmpty { isAtEnd = true }
      }
      // At the end once more, for what the library may still hold.
      if isAtEnd, !isWithinFrame { return [] }
      var status = 0
      output = decompressed(&status)
      if ZSTD_isError(status) != 0 {
        throw damage("is damaged: \(String(cString: ZSTD_getErrorName(status)))")
      }
      isWithinFrame = status != 0
      if isAtEnd, output.isEmpty, isWithinFrame { throw damage("ends in the middle") }
      if isAtEnd, !output.isEmpty { isAtEnd = false }
    }
    return output
  }

  private func decompressed(_ status: inout Int) -> [UInt8] {
    // SAFETY: the library reads and writes within the two buffers, whose sizes it is told, and
    // only during the call.
    [UInt8](unsafeUninitializedCapacity: Self.pieceBytes) { output, count in
      input.withUnsafeBufferPointer { bytes in
        var from = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: used)
        var to = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        status = ZSTD_decompressStream(state, &to, &from)
        used = from.pos
        count = to.pos
      }
    }
  }

  private func damage(_ what: String) -> Diagnostic {
    Diagnostic(
      .compressionDamaged, "the Zstandard stream \(what)", at: .file(file),
      remedy: "check it with `zstd -t`, and download or compress it again")
  }
}
