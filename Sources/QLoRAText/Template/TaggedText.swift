// A string each of whose characters knows who wrote it. All operations move tagged characters
// about, so a tag can not be lost. Lengths and indices count scalars, as Python's strings do.

/// Who wrote a character; the compact form of `SegmentOrigin`.
struct TextOrigin: Sendable, Hashable {
  private let code: Int32

  static let template = TextOrigin(code: -1)
  static let tools = TextOrigin(code: -2)
  static func message(_ index: Int) -> TextOrigin {
    TextOrigin(code: Int32(clamping: index))
  }

  private init(code: Int32) { self.code = code }

  var segmentOrigin: SegmentOrigin {
    switch self {
    case .template: .template
    case .tools: .tools
    default: .message(Int(code))
    }
  }

  /// The origin of what is computed from two values: data wins over the template.
  func joined(_ other: TextOrigin) -> TextOrigin { self == .template ? other : self }
}

struct TaggedScalar: Sendable, Hashable {
  var scalar: Unicode.Scalar
  var origin: TextOrigin
}

struct TaggedText: Sendable {
  var scalars: [TaggedScalar]
  /// What `safe` and `escape` give: what is joined to it is escaped for HTML.
  private(set) var isMarkup = false

  init() { scalars = [] }

  init(_ scalars: some Sequence<TaggedScalar>) { self.scalars = Array(scalars) }

  init(_ text: String, _ origin: TextOrigin) {
    scalars = text.unicodeScalars.map { TaggedScalar(scalar: $0, origin: origin) }
  }

  /// The same characters, as markup or not.
  func marked(_ isMarkup: Bool = true) -> TaggedText {
    var result = self
    result.isMarkup = isMarkup
    return result
  }

  /// How many characters HTML writes as names or numbers.
  var escapeCount: Int { scalars.count { "&<>'\"".unicodeScalars.contains($0.scalar) } }

  /// As markup, escaped for HTML.
  func escaped() -> TaggedText {
    mapScalars { scalar in
      switch scalar {
      case "&": "&amp;"
      case "<": "&lt;"
      case ">": "&gt;"
      case "'": "&#39;"
      case "\"": "&#34;"
      default: String(scalar)
      }
    }.marked()
  }

  var count: Int { scalars.count }
  var isEmpty: Bool { scalars.isEmpty }

  /// The text without its tags.
  var plain: String {
    var view = String.UnicodeScalarView()
    for tagged in scalars { view.append(tagged.scalar) }
    return String(view)
  }

  /// The origin that data has in this text, or the template's where it holds none.
  var origin: TextOrigin {
    scalars.first { $0.origin != .template }?.origin ?? .template
  }

  mutating func append(_ other: TaggedText) { scalars.append(contentsOf: other.scalars) }

  mutating func append(_ text: String, _ origin: TextOrigin) {
    for scalar in text.unicodeScalars {
      scalars.append(TaggedScalar(scalar: scalar, origin: origin))
    }
  }

  func hasSameText(as other: TaggedText) -> Bool {
    scalars.count == other.scalars.count
      && zip(scalars, other.scalars).allSatisfy { $0.scalar == $1.scalar }
  }

  func isBefore(_ other: TaggedText) -> Bool {
    scalars.lexicographicallyPrecedes(other.scalars) { $0.scalar.value < $1.scalar.value }
  }

  /// Each character through `transform`, which may give several or none.
  func mapScalars(_ transform: (Unicode.Scalar) -> String) -> TaggedText {
    var result = TaggedText()
    result.scalars.reserveCapacity(count)
    for tagged in scalars { result.append(transform(tagged.scalar), tagged.origin) }
    return result
  }

  func lowercased() -> TaggedText {
    if scalars.allSatisfy({ $0.scalar.isASCII }) {
      return shiftingLetters(from: 0x41...0x5A, by: 0x20)
    }
    return mapScalars { $0.properties.lowercaseMapping }
  }

  func uppercased() -> TaggedText {
    if scalars.allSatisfy({ $0.scalar.isASCII }) {
      return shiftingLetters(from: 0x61...0x7A, by: -0x20)
    }
    return mapScalars { $0.properties.uppercaseMapping }
  }

  /// The case of plain ASCII, which needs no tables.
  private func shiftingLetters(from letters: ClosedRange<Int>, by shift: Int) -> TaggedText {
    var result = self
    for index in result.scalars.indices {
      let value = Int(result.scalars[index].scalar.value)
      guard letters.contains(value) else { continue }
      result.scalars[index].scalar = Unicode.Scalar(UInt8(value + shift))
    }
    return result
  }

  /// The first letter large, all others small.
  func capitalized() -> TaggedText {
    var isFirst = true
    return mapScalars { scalar in
      defer { isFirst = false }
      return isFirst ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
    }
  }

  /// The first letter of every run of letters large.
  func titlecased() -> TaggedText {
    var followsLetter = false
    return mapScalars { scalar in
      defer { followsLetter = scalar.properties.isCased }
      let properties = scalar.properties
      return followsLetter ? properties.lowercaseMapping : properties.titlecaseMapping
    }
  }

  /// Without white space, or the characters of `set`, at the ends asked for.
  func stripped(_ set: TaggedText?, left: Bool, right: Bool) -> TaggedText {
    let members = set.map { Set($0.scalars.map(\.scalar)) }
    func isStripped(_ tagged: TaggedScalar) -> Bool {
      members?.contains(tagged.scalar) ?? tagged.scalar.isPythonSpace
    }
    var slice = scalars[...]
    if left { slice = slice.drop(while: isStripped) }
    while right, let last = slice.last, isStripped(last) { slice.removeLast() }
    return TaggedText(slice)
  }

  /// The first place of `needle` at or after `start`.
  func find(_ needle: TaggedText, from start: Int = 0) -> Int? {
    guard start <= count else { return nil }
    if needle.count == 1 {
      return scalars[start...].firstIndex { $0.scalar == needle.scalars[0].scalar }
    }
    return Self.search(needle.scalars, in: scalars[start...]).map { start + $0 }
  }

  /// The last place of `needle` that ends at or before `end`.
  func findLast(_ needle: TaggedText, before end: Int) -> Int? {
    guard end >= needle.count else { return nil }
    let reversed = Array(needle.scalars.reversed())
    return Self.search(reversed, in: scalars[..<end].reversed()).map { end - needle.count - $0 }
  }

  /// How many elements of `text` stand before `needle`, in time of the sum of both lengths.
  /// Source: Knuth, Morris and Pratt 1977, "Fast pattern matching in strings".
  private static func search(
    _ needle: [TaggedScalar], in text: some Sequence<TaggedScalar>
  ) -> Int? {
    guard !needle.isEmpty else { return 0 }
    // The longest proper border of each prefix; only as far as the text gets in it.
    var borders = [0]
    func extend(_ matched: Int, by scalar: Unicode.Scalar) -> Int {
      var matched = matched
      while matched > 0, needle[matched].scalar != scalar { matched = borders[matched - 1] }
      return needle[matched].scalar == scalar ? matched + 1 : 0
    }
    var matched = 0
    for (index, tagged) in text.enumerated() {
      matched = extend(matched, by: tagged.scalar)
      if matched == needle.count { return index + 1 - needle.count }
      while borders.count < matched {
        borders.append(extend(borders[borders.count - 1], by: needle[borders.count].scalar))
      }
    }
    return nil
  }

  func matches(_ needle: TaggedText, at start: Int) -> Bool {
    guard start >= 0, start + needle.count <= count else { return false }
    for (offset, wanted) in needle.scalars.enumerated()
    where scalars[start + offset].scalar != wanted.scalar {
      return false
    }
    return true
  }

  subscript(range: Range<Int>) -> TaggedText { TaggedText(scalars[range]) }

  /// The text as segments of one origin each.
  func segments() -> [TextSegment] {
    var result: [TextSegment] = []
    var start = 0
    while start < count {
      let origin = scalars[start].origin
      var end = start + 1
      while end < count, scalars[end].origin == origin { end += 1 }
      result.append(TextSegment(text: self[start..<end].plain, origin: origin.segmentOrigin))
      start = end
    }
    return result
  }
}

extension Unicode.Scalar {
  /// What Python's `str.isspace` and the `\s` of its patterns accept: white space and the four
  /// information separators.
  var isPythonSpace: Bool {
    if value < 0x80 { return value == 0x20 || (0x09...0x0D).contains(value)
      || (0x1C...0x1F).contains(value) }
    return properties.isWhitespace
  }
}
