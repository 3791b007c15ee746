// Finds committed test data and makes seeded random data; knows nothing of the code under test.
import QLoRARandom

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

package enum Goldens {
  /// The root of the checkout, from this file's place in it.
  package static let repository = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  package static func url(_ name: String) -> URL {
    repository.appending(path: "Tests/Goldens").appending(path: name)
  }

  package static func path(_ name: String) -> String { url(name).path(percentEncoded: false) }
}

package typealias SeededGenerator = SplitMix64

extension SplitMix64 {
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
