// Gzip (RFC 1952) undone as a stream: members follow each other, nothing is allocated by what the
// file says of its size.
import CZlib
import QLoRADiagnostics

final class GzipBytes: ByteStream {
  private static let pieceBytes = 1 << 18
  /// Window of 32 KiB, which all of gzip has; 16 asks zlib for gzip's header and checksum.
  private static let gzipWindow: Int32 = 15 + 16

  private let source: any ByteStream
  private let file: String
  // SAFETY: zlib compares the address of its state with the one that it began with, so the state
  // stands in memory of its own, which this object alone owns and frees.
  private let state = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
  private var input: [UInt8] = []
  private var used = 0
  private var isWithinMember = false
  private var isAtEnd = false

  init(_ source: any ByteStream, file: String) {
    self.source = source
    self.file = file
    state.initialize(to: z_stream())
    let size = Int32(MemoryLayout<z_stream>.size)
    let status = inflateInit2_(state, Self.gzipWindow, ZLIB_VERSION, size)
    // The only failure here is lack of memory, which Swift itself does not survive.
    precondition(status == Z_OK, "zlib cannot begin: \(status)")
  }

  deinit {
    inflateEnd(state)
    state.deallocate()
  }

  func next() throws(Diagnostic) -> [UInt8] {
    var output: [UInt8] = []
    while output.isEmpty, !isAtEnd {
      if used == input.count {
        input = try source.next()
        used = 0
        guard !input.isEmpty else {
          isAtEnd = true
          if isWithinMember { throw damage("ends in the middle") }
          return []
        }
      }
      isWithinMember = true
      var status: Int32 = Z_OK
      output = inflated(&status)
      switch status {
      case Z_STREAM_END:
        isWithinMember = false
        inflateReset(state)
      case Z_OK, Z_BUF_ERROR: break
      default: throw damage("is damaged")
      }
    }
    return output
  }

  /// As much as fits a piece of what `input` still has.
  private func inflated(_ status: inout Int32) -> [UInt8] {
    // SAFETY: zlib reads and writes within the two buffers, whose sizes it is told, and only
    // during the call.
    [UInt8](unsafeUninitializedCapacity: Self.pieceBytes) { output, count in
      input.withUnsafeMutableBufferPointer { bytes in
        state.pointee.next_in = bytes.baseAddress?.advanced(by: used)
        state.pointee.avail_in = UInt32(bytes.count - used)
        state.pointee.next_out = output.baseAddress
        state.pointee.avail_out = UInt32(output.count)
        status = inflate(state, Z_NO_FLUSH)
        used = bytes.count - Int(state.pointee.avail_in)
        count = output.count - Int(state.pointee.avail_out)
      }
    }
  }

  private func damage(_ what: String) -> Diagnostic {
    Diagnostic(
      .compressionDamaged, "the gzip stream \(what)", at: .file(file),
      remedy: "check it with `gzip -t`, and download or compress it again")
  }
}
