// The four normalization forms of Unicode, applied to aligned text.
// Source: Unicode Standard Annex 15; the tables are those of Unicode 9, which the reference has.

enum NormalizationForm: String, Sendable, Equatable, CaseIterable {
  case nfc = "NFC", nfd = "NFD", nfkc = "NFKC", nfkd = "NFKD"

  private var composes: Bool { self == .nfc || self == .nfkc }
  private var isCompatible: Bool { self == .nfkc || self == .nfkd }

  /// The lowest lead byte of a character that the form may change: U+0300, U+00C0, U+00A0.
  private var firstLead: UInt8 {
    switch self {
    case .nfc: 0xCC
    case .nfd: 0xC3
    case .nfkc, .nfkd: 0xC2
    }
  }

  func apply(_ text: AlignedText) -> AlignedText {
    let (bytes, lead) = (text.bytes, firstLead)
    guard bytes.contains(where: { $0 >= lead }) else { return text }
    var isChanged = false
    let result = text.rebuilt { builder in
      var work = Segment(form: self)
      var index = 0
      var kept = 0
      while index < bytes.count {
        let end = endOfSegment(bytes, index)
        if isStable(bytes, index, end) {
          index = end
          continue
        }
        work.read(bytes, index..<end)
        if !work.bytes.elementsEqual(bytes[index..<end]) {
          builder.keep(kept..<index)
          builder.put(work.bytes, for: index..<end)
          kept = end
          isChanged = true
        }
        index = end
      }
      builder.keep(kept..<bytes.count)
    }
    return isChanged ? result : text
  }

  /// Whether a segment is one character that the form leaves alone.
  private func isStable(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Bool {
    guard bytes[start] >= firstLead else { return end - start == DecodedScalar.length(bytes[start]) }
    let first = DecodedScalar(bytes, at: start)
    guard start + first.count == end, composes || !Hangul.isSyllable(first.scalar.value) else {
      return false
    }
    guard let entry = NormalizationTable.shared.entry(first.scalar) else { return true }
    return isCompatible ? entry.compatible.isEmpty : entry.canonical.isEmpty
  }

  /// The end of a stretch that no composition or reordering crosses.
  private func endOfSegment(_ bytes: [UInt8], _ start: Int) -> Int {
    var index = start + DecodedScalar.length(bytes[start])
    while index < bytes.count {
      if bytes[index] < firstLead { return index }
      let next = DecodedScalar(bytes, at: index)
      if beginsSegment(next.scalar) { return index }
      index += next.count
    }
    return index
  }

  private func beginsSegment(_ scalar: Unicode.Scalar) -> Bool {
    let table = NormalizationTable.shared
    if Hangul.composesBackward(scalar.value) { return !composes }
    guard let entry = table.entry(scalar) else { return true }
    let parts = table.text(isCompatible ? entry.compatible : entry.canonical)
    let first = parts.first.flatMap(table.entry) ?? (parts.isEmpty ? entry : nil)
    if let first = parts.first, Hangul.composesBackward(first.value) { return !composes }
    guard let first else { return true }
    return first.combiningClass == 0 && !(composes && first.composesBackward)
  }
}

/// One stretch being normalized.
private struct Segment {
  let form: NormalizationForm
  private(set) var bytes: [UInt8] = []
  private var scalars: [(scalar: Unicode.Scalar, kind: UInt8)] = []

  init(form: NormalizationForm) { self.form = form }

  mutating func read(_ source: [UInt8], _ range: Range<Int>) {
    scalars.removeAll(keepingCapacity: true)
    bytes.removeAll(keepingCapacity: true)
    DecodedScalar.forEach(source, range) { scalar, _ in decompose(scalar) }
    sortMarks()
    if form == .nfc || form == .nfkc { compose() }
    for item in scalars { bytes.append(contentsOf: Unicode.UTF8.encode(item.scalar) ?? .init()) }
  }

  private mutating func decompose(_ scalar: Unicode.Scalar) {
    let table = NormalizationTable.shared
    if Hangul.isSyllable(scalar.value) {
      for part in Hangul.decomposition(scalar.value) { scalars.append((part, 0)) }
      return
    }
    guard let entry = table.entry(scalar) else { return scalars.append((scalar, 0)) }
    let parts = table.text(
      form == .nfkc || form == .nfkd ? entry.compatible : entry.canonical)
    if parts.isEmpty { return scalars.append((scalar, entry.combiningClass)) }
    for part in parts { scalars.append((part, table.entry(part)?.combiningClass ?? 0)) }
  }

  /// Canonical ordering: runs of marks by class, equal ones as they stand.
  private mutating func sortMarks() {
    var index = 0
    while index < scalars.count {
      guard scalars[index].kind > 0 else {
        index += 1
        continue
      }
      var end = index
      while end < scalars.count, scalars[end].kind > 0 { end += 1 }
      // Marks seldom come in more than twos; the library's sort keeps no promise on equal ones.
      let sorted = scalars[index..<end].enumerated().sorted {
        ($0.element.kind, $0.offset) < ($1.element.kind, $1.offset)
      }
      for (offset, item) in sorted.enumerated() { scalars[index + offset] = item.element }
      index = end
    }
  }

  private mutating func compose() {
    let table = NormalizationTable.shared
    var starter: Int?
    var lastKind: UInt8 = 0
    var write = 0
    for index in scalars.indices {
      let item = scalars[index]
      let isAdjacent = starter.map { write == $0 + 1 } ?? false
      if let place = starter, isAdjacent || (lastKind < item.kind && lastKind > 0),
        let composed = table.composition(scalars[place].scalar, item.scalar)
      {
        scalars[place].scalar = composed
        continue
      }
      scalars[write] = item
      if item.kind == 0 { starter = write }
      lastKind = item.kind
      write += 1
    }
    scalars.removeLast(scalars.count - write)
  }
}
