// Damage as a failing disk or memory makes it: single bits, anywhere in the files of a folder.
import Foundation
import TestSupport

enum BitFlips {
  struct Flip {
    let file: URL
    let byte: Int
    let bit: UInt8
  }

  /// Flips `count` different bits; every bit of every file is as likely.
  @discardableResult
  static func flip(
    _ count: Int, below folder: String, using generator: inout SeededGenerator
  ) throws -> [Flip] {
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      .map { URL(filePath: folder + "/" + $0) }
    let sizes = try files.map { try Data(contentsOf: $0).count }
    var places: Set<Int> = []
    while places.count < count {
      places.insert(Int.random(in: 0..<8 * sizes.reduce(0, +), using: &generator))
    }
    let flips = places.sorted().map { place in
      var byte = place / 8
      var index = 0
      while byte >= sizes[index] {
        byte -= sizes[index]
        index += 1
      }
      return Flip(file: files[index], byte: byte, bit: UInt8(place % 8))
    }
    try undo(flips)
    return flips
  }

  /// Flips the same bits again.
  static func undo(_ flips: [Flip]) throws {
    for flip in flips {
      let handle = try FileHandle(forUpdating: flip.file)
      try handle.seek(toOffset: UInt64(flip.byte))
      let old = try handle.read(upToCount: 1)?.first ?? 0
      try handle.seek(toOffset: UInt64(flip.byte))
      try handle.write(contentsOf: Data([old ^ (1 << flip.bit)]))
      try handle.close()
    }
  }
}
