// Finds committed test data and makes seeded random data; knows nothing of the code under test.
import Foundation

package enum Goldens {
  /// The root of the checkout, from this file's place in it.
  package static let repository = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  package static func url(_ name: String) -> URL {
    repository.appending(path: "Tests/Goldens").appending(path: name)
  }

  package static func path(_ name: String) -> String { url(name).path(percentEncoded: false) }
}

/// SplitMix64 (Steele et al. 2014): small, seeded, the same on every platform.
package struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Standard normal deviates by Box and Muller.
  package mutating func normals(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in
      let u = Double.random(in: Double.leastNonzeroMagnitude..<1, using: &self)
      let v = Double.random(in: 0..<1, using: &self)
      return Float((-2 * log(u)).squareRoot() * cos(2 * .pi * v)) * scale
    }
  }
}

/// A folder that is gone when the test ends.
package final class TemporaryFolder: Sendable {
  package let url: URL

  package init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "qlora-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  package func path(_ name: String) -> String {
    url.appending(path: name).path(percentEncoded: false)
  }
}
