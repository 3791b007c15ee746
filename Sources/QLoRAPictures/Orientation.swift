// How a camera was held, from the Exif part of a JPEG file.
// Source: CIPA 2012, "Exchangeable image file format for digital still cameras: Exif 2.3",
// sections 4.5 and 4.6; ITU-T T.81, annex B, for the segments.

struct Orientation {
  private static let name = 0x0112

  /// 1 to 8 as the file says; 1 where it says nothing that can be read.
  static func ofJPEG(_ bytes: [UInt8]) -> Int {
    var at = 2
    // Marker and length of a segment, until the pixels begin.
    while at + 4 <= bytes.count, bytes[at] == 0xFF, bytes[at + 1] != 0xDA {
      let length = Int(bytes[at + 2]) << 8 | Int(bytes[at + 3])
      let end = at + 2 + length
      guard length >= 2, end <= bytes.count else { return 1 }
      let data = bytes[at + 4..<end]
      if bytes[at + 1] == 0xE1, data.starts(with: Array("Exif".utf8) + [0, 0]) {
        return Orientation(Array(data.dropFirst(6))).value ?? 1
      }
      at = end
    }
    return 1
  }

  private let bytes: [UInt8]
  private let isLittleEndian: Bool

  private init(_ bytes: [UInt8]) {
    self.bytes = bytes
    isLittleEndian = bytes.starts(with: Array("II".utf8))
  }

  private func number(_ at: Int, _ count: Int) -> Int? {
    guard at >= 0, at + count <= bytes.count else { return nil }
    let digits = bytes[at..<at + count]
    return (isLittleEndian ? Array(digits.reversed()) : Array(digits))
      .reduce(0) { $0 << 8 | Int($1) }
  }

  /// The entry of the first directory, a number of two bytes.
  private var value: Int? {
    guard let directory = number(4, 4), let entries = number(directory, 2) else { return nil }
    for index in 0..<entries {
      let entry = directory + 2 + 12 * index
      guard let found = number(entry, 2) else { return nil }
      if found == Self.name { return number(entry + 8, 2) }
    }
    return nil
  }
}
