// The digest against values that the xxh128sum program prints.
import QLoRASystem
import Testing

@Suite struct DigestTests {
  @Test(arguments: [
    ("", "99aa06d3014798d86001c324468d497f"), ("abc", "06b05ab6733a618578af5f94892f3950"),
  ])
  func knownValues(text: String, digest: String) {
    #expect(Digest(of: text.utf8).description == digest)
  }

  @Test func longInput() {
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    #expect(Digest(of: bytes).description == "4fb78cd2670dad5801271d2740e5fca3")
  }

  @Test(arguments: [1, 7, 64, 1_000, 4_096])
  func piecesDoNotMatter(size: Int) {
    let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* $0) }
    let stream = StreamingDigest()
    var start = 0
    while start < bytes.count {
      Array(bytes[start..<min(start + size, bytes.count)]).withUnsafeBytes(stream.update)
      start += size
    }
    #expect(stream.digest == Digest(of: bytes))
  }
}
