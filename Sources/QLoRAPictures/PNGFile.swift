// A picture as the bytes of a PNG file: eight bits for each of red, green and blue.
// Source: W3C 2003, "Portable Network Graphics (PNG) Specification", second edition.
import CZlib

package enum PNGFile {
  static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  /// - Parameter pixels: `height · width` times three bytes, row by row.
  package static func bytes(width: Int, height: Int, pixels: [UInt8]) -> [UInt8] {
    precondition(pixels.count == 3 * width * height)
    var header = number(width) + number(height)
    // Eight bits, color without a palette, and the only methods that there are.
    header += [8, 2, 0, 0, 0]
    // Every row begins with its filter: 0, as it is.
    var rows: [UInt8] = []
    rows.reserveCapacity(height * (3 * width + 1))
    for row in 0..<height {
      rows.append(0)
      rows += pixels[row * 3 * width..<(row + 1) * 3 * width]
    }
    return signature + chunk("IHDR", header) + chunk("IDAT", compressed(rows))
      + chunk("IEND", [])
  }

  private static func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
    let named = Array(name.utf8) + data
    return number(data.count) + named + number(Int(crc32(0, named, UInt32(named.count))))
  }

  private static func number(_ value: Int) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  private static func compressed(_ bytes: [UInt8]) -> [UInt8] {
    var count = compressBound(UInt(bytes.count))
    var output = [UInt8](repeating: 0, count: Int(count))
    let status = compress(&output, &count, bytes, UInt(bytes.count))
    // It fails where memory or the bound is too small, neither of which a caller can cause.
    precondition(status == Z_OK)
    return Array(output.prefix(Int(count)))
  }
}
