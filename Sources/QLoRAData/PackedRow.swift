// An encoded row as bytes: four for each token, the stretches of trained tokens by their lengths
// instead of a label for each, and where it is known, who wrote which stretch.

enum PackedRow {
  /// What the labels are: lengths of stretches, untrained first, or themselves.
  private enum Labels: UInt8 { case stretches, plain, category, pair }

  static func append(_ row: EncodedRow, to bytes: inout [UInt8]) {
    for token in row.tokens { append(token, to: &bytes) }
    if let category = row.category {
      bytes.append(Labels.category.rawValue)
      append(category, to: &bytes)
      // 0 is no second text, which begins behind the first.
      appendVarint(row.secondStart ?? 0, to: &bytes)
      return appendOrigins(row.origins, to: &bytes)
    }
    if let second = row.secondStart {
      bytes.append(Labels.pair.rawValue)
      appendVarint(second, to: &bytes)
      appendStretches(row.labels, to: &bytes)
      return appendOrigins(row.origins, to: &bytes)
    }
    let isPlain = zip(row.tokens, row.labels).contains { $1 != untrainedLabel && $1 != $0 }
    bytes.append((isPlain ? Labels.plain : .stretches).rawValue)
    if isPlain {
      for label in row.labels { append(label, to: &bytes) }
    } else {
      appendStretches(row.labels, to: &bytes)
    }
    appendOrigins(row.origins, to: &bytes)
  }

  private static func appendStretches(_ labels: [Int32], to bytes: inout [UInt8]) {
    var isTrained = false
    var length = 0
    for label in labels {
      if (label != untrainedLabel) != isTrained {
        appendVarint(length, to: &bytes)
        isTrained.toggle()
        length = 0
      }
      length += 1
    }
    appendVarint(length, to: &bytes)
  }

  private static func appendOrigins(_ origins: [TokenOrigin], to bytes: inout [UInt8]) {
    var rest = origins[...]
    while let origin = rest.first {
      let stretch = rest.prefix { $0 == origin }
      bytes.append(origin.rawValue)
      appendVarint(stretch.count, to: &bytes)
      rest = rest[stretch.endIndex...]
    }
  }

  /// A row of `count` tokens: all of it that was packed.
  static func read(
    _ bytes: ArraySlice<UInt8>, count: Int, source: Int, number: Int
  ) -> EncodedRow {
    let tokens = integers(bytes, count)
    var rest = bytes.dropFirst(4 * count)
    let labels: [Int32]
    var category: Int32?
    var secondStart = 0
    let kind = rest.popFirst()
    if kind == Labels.category.rawValue {
      labels = tokens.map { _ in untrainedLabel }
      let place = integers(rest, 1)[0]
      rest = rest.dropFirst(4)
      category = place
      secondStart = varint(&rest)
    } else if kind == Labels.pair.rawValue {
      secondStart = varint(&rest)
      labels = stretches(&rest, tokens)
    } else if kind == Labels.plain.rawValue {
      labels = integers(rest, count)
      rest = rest.dropFirst(4 * count)
    } else {
      labels = stretches(&rest, tokens)
    }
    var origins: [TokenOrigin] = []
    while let origin = rest.popFirst().flatMap(TokenOrigin.init) {
      let length = min(count - origins.count, varint(&rest))
      origins += repeatElement(origin, count: length)
    }
    var row = EncodedRow(
      tokens: tokens, labels: labels, source: source, number: number, origins: origins)
    row.category = category
    row.secondStart = secondStart > 0 ? secondStart : nil
    return row
  }

  private static func stretches(_ bytes: inout ArraySlice<UInt8>, _ tokens: [Int32]) -> [Int32] {
    var labels = [Int32](repeating: untrainedLabel, count: tokens.count)
    var place = 0
    var isTrained = false
    while place < tokens.count, !bytes.isEmpty {
      let end = min(tokens.count, place + varint(&bytes))
      if isTrained { labels.replaceSubrange(place..<end, with: tokens[place..<end]) }
      place = end
      isTrained.toggle()
    }
    return labels
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
