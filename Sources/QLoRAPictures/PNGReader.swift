// The pixels of a PNG file: every depth and kind of colour, without interlacing.
// Source: W3C 2003, "Portable Network Graphics (PNG) Specification", second edition.
import CZlib
import QLoRADiagnostics

struct PNGReader {
  private let path: String
  private var width = 0
  private var height = 0
  private var depth = 0
  private var kind = 0
  private var palette: [UInt8] = []
  private var compressed: [UInt8] = []

  /// - Throws: `pictureInvalid`.
  static func read(_ bytes: [UInt8], _ path: String) throws -> PixelBytes {
    var reader = PNGReader(path: path)
    try reader.readChunks(bytes)
    return try reader.pixels()
  }

  private init(path: String) { self.path = path }

  private func failure(_ message: String) -> Diagnostic { PictureFile.failure(message, path) }

  private mutating func readChunks(_ bytes: [UInt8]) throws {
    var at = PNGFile.signature.count
    // Length, name and checksum of a chunk.
    let frame = 12
    while at + frame <= bytes.count {
      let length = Self.number(bytes, at)
      guard length <= bytes.count - at - frame else { break }
      let name = at + 4
      let data = name + 4..<name + 4 + length
      let named = Array(bytes[name..<data.upperBound])
      let sum = crc32(0, named, UInt32(named.count))
      guard Int(sum) == Self.number(bytes, data.upperBound) else {
        throw failure("the checksum of the chunk at byte \(at) is wrong")
      }
      switch String(decoding: bytes[name..<name + 4], as: UTF8.self) {
      case "IHDR": try readHeader(bytes[data])
      case "PLTE": palette = Array(bytes[data])
      case "IDAT": compressed += bytes[data]
      case "IEND": return
      default: break
      }
      at = data.upperBound + 4
    }
    throw failure("the file is cut short")
  }

  private static func number(_ bytes: [UInt8], _ at: Int) -> Int {
    bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
  }

  private mutating func readHeader(_ data: ArraySlice<UInt8>) throws {
    let bytes = Array(data)
    guard bytes.count == 13, width == 0 else { throw failure("its header is damaged") }
    (width, height) = (Self.number(bytes, 0), Self.number(bytes, 4))
    (depth, kind) = (Int(bytes[8]), Int(bytes[9]))
    let depths = [0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]]
    guard depths[kind]?.contains(depth) == true, bytes[10] == 0, bytes[11] == 0 else {
      throw failure("its header is damaged")
    }
    guard bytes[12] == 0 else { throw failure("interlaced pictures are not read") }
    try PictureFile.check(width: width, height: height, path)
  }

  /// Samples of a pixel.
  private var samples: Int { [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][kind] ?? 1 }

  private func pixels() throws -> PixelBytes {
    guard width > 0 else { throw failure("it has no header") }
    let rowBytes = (width * samples * depth + 7) / 8
    var rows = [UInt8](repeating: 0, count: height * (rowBytes + 1))
    var count = UInt(rows.count)
    guard uncompress(&rows, &count, compressed, UInt(compressed.count)) == Z_OK,
      Int(count) == rows.count
    else { throw failure("its pixels are damaged or too few") }
    try unfilter(&rows, rowBytes)
    var values = [UInt8](repeating: 0, count: 3 * width * height)
    for row in 0..<height {
      for column in 0..<width {
        let color = try color(rows, row * (rowBytes + 1) + 1, column)
        let at = 3 * (row * width + column)
        (values[at], values[at + 1], values[at + 2]) = color
      }
    }
    return PixelBytes(width: width, height: height, values: values)
  }

  /// Each row says in its first byte what was taken off its others.
  private func unfilter(_ rows: inout [UInt8], _ rowBytes: Int) throws {
    let back = max(1, samples * depth / 8)
    for row in 0..<height {
      let start = row * (rowBytes + 1)
      let filter = rows[start]
      guard filter <= 4 else { throw failure("row \(row) has the filter \(filter)") }
      if filter == 0 { continue }
      for i in 0..<rowBytes {
        let at = start + 1 + i
        let left = i >= back ? Int(rows[at - back]) : 0
        let up = row > 0 ? Int(rows[at - rowBytes - 1]) : 0
        let corner = i >= back && row > 0 ? Int(rows[at - rowBytes - 1 - back]) : 0
        let predicted =
          switch filter {
          case 1: left
          case 2: up
          case 3: (left + up) / 2
          default: Self.nearest(left, up, corner)
          }
        rows[at] &+= UInt8(truncatingIfNeeded: predicted)
      }
    }
  }

  /// Paeth's predictor: whichever is nearest to left + up − corner.
  private static func nearest(_ left: Int, _ up: Int, _ corner: Int) -> Int {
    let (a, b, c) = (abs(up - corner), abs(left - corner), abs(left + up - 2 * corner))
    return a <= b && a <= c ? left : b <= c ? up : corner
  }

  /// Of 16 bits the upper ones; what is transparent counts as opaque.
  private func color(
    _ rows: [UInt8], _ start: Int, _ column: Int
  ) throws -> (UInt8, UInt8, UInt8) {
    func sample(_ index: Int) -> Int {
      let bit = (column * samples + index) * depth
      let byte = Int(rows[start + bit / 8])
      return depth >= 8 ? byte : byte >> (8 - depth - bit % 8) & ((1 << depth) - 1)
    }
    if kind == 3 {
      let entry = 3 * sample(0)
      guard entry + 2 < palette.count else { throw failure("a pixel has no colour in the palette") }
      return (palette[entry], palette[entry + 1], palette[entry + 2])
    }
    if samples < 3 {
      let grey = depth >= 8 ? sample(0) : sample(0) * 255 / ((1 << depth) - 1)
      return (UInt8(grey), UInt8(grey), UInt8(grey))
    }
    return (UInt8(sample(0)), UInt8(sample(1)), UInt8(sample(2)))
  }
}
