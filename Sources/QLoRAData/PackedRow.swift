// An encoded row as bytes: four for each token, and the stretches of trained tokens by their
// lengths instead of a label for each.

enum PackedRow {
  /// What the labels are: lengths of stretches, untrained first, or themselves.
  private enum Labels: UInt8 { case stretches, plain }

  static func append(_ row: EncodedRow, to bytes: inout [UInt8]) {
    for token in row.tokens { append(token, to: &bytes) }
    let isPlain = zip(row.tokens, row.labels).contains { $1 != untrainedLabel && $1 != $0 }
    bytes.append((isPlain ? Labels.plain : .stretches).rawValue)
    if isPlain {
      for label in row.labels { append(label, to: &bytes) }
      return
    }
    var isTrained = false
    var length = 0
    for label in row.labels {
      if (label != untrainedLabel) != isTrained {
        appendVarint(length, to: &bytes)
        isTrained.toggle()
        length = 0
      }
      length += 1
    }
    appendVarint(length, to: &bytes)
  }

  /// Tokens and labels of a row of `count` tokens.
  static func read(_ bytes: ArraySlice<UInt8>, count: Int) -> (tokens: [Int32], labels: [Int32]) {
    let tokens = integers(bytes, count)
    var rest = bytes.dropFirst(4 * count)
    let kind = rest.popFirst()
    if kind == Labels.plain.rawValue { return (tokens, integers(rest, count)) }
    var labels = [Int32](repeating: untrainedLabel, count: count)
    var place = 0
    var isTrained = false
    while place < count, !rest.isEmpty {
      let end = min(count, place + varint(&rest))
      if isTrained { labels.replaceSubrange(place..<end, with: tokens[place..<end]) }
      place = end
      isTrained.toggle()
    }
    return (tokens, labels)
  }

  private static func append(_ integer: Int32, to bytes: inout [UInt8]) {
    for shift in stride(from: 0, to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: integer >> Int32(shift)))
    }
  }

  private static func integers(_ bytes: ArraySlice<UInt8>, _ count: Int) -> [Int32] {
    (0..<count).map { index in
      let start = bytes.startIndex + 4 * index
      return (0..<4).reduce(0) { $0 | Int32(bytes[start + $1]) << Int32(8 * $1) }
    }
  }

  private static func appendVarint(_ value: Int, to bytes: inout [UInt8]) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(value & 0x7F) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(value))
  }

  private static func varint(_ bytes: inout ArraySlice<UInt8>) -> Int {
    var value = 0
    var shift = 0
    while let byte = bytes.popFirst() {
      value |= Int(byte & 0x7F) << shift
      shift += 7
      if byte < 0x80 { break }
    }
    return value
  }
}
