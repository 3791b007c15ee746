// XXH3 with 128 bits: finds damage at memory speed. It is no defence against an adversary, for
// which provenance digests use SHA-256.
import CXXHash

/// A 128-bit digest; its text is what `xxh128sum` prints.
package struct Digest: Sendable, Hashable, CustomStringConvertible {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// The digest of some bytes at once.
  package init(of bytes: some Sequence<UInt8>) {
    let stream = StreamingDigest()
    Array(bytes).withUnsafeBytes(stream.update)
    self = stream.digest
  }

  /// 32 lower-case hexadecimal digits.
  package var description: String { Self.hex(high) + Self.hex(low) }

  private static func hex(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// A digest of bytes that come in pieces.
package final class StreamingDigest {
  // SAFETY: owned by this object alone, and freed with it.
  private let state: OpaquePointer

  package init() {
    // The library's only failure here is lack of memory, which Swift itself does not survive.
    guard let state = XXH3_createState() else { preconditionFailure("out of memory") }
    self.state = state
    XXH3_128bits_reset(state)
  }

  deinit { XXH3_freeState(state) }

  package func update(_ bytes: UnsafeRawBufferPointer) {
    if let address = bytes.baseAddress { XXH3_128bits_update(state, address, bytes.count) }
  }

  /// The digest of the bytes so far.
  package var digest: Digest {
    let value = XXH3_128bits_digest(state)
    return Digest(high: value.high64, low: value.low64)
  }
}
