// Text on its way from the original to the words that a model sees, with the place in the original
// of every byte.

struct AlignedText: Sendable {
  /// Where a byte came from in the original.
  struct Origin: Sendable, Equatable {
    var start: UInt32
    var end: UInt32
  }

  private(set) var bytes: [UInt8]
  /// By byte; nil where byte i is that of `base + i`.
  fileprivate var origins: [Origin]?
  /// Where the stretch begins in the original.
  fileprivate let base: Int

  /// A stretch of the original: valid UTF-8 that begins and ends between characters.
  init(_ original: [UInt8], _ range: Range<Int>) {
    bytes = range == 0..<original.count ? original : Array(original[range])
    base = range.lowerBound
  }

  private init(bytes: [UInt8], origins: [Origin]?, base: Int) {
    self.bytes = bytes
    self.origins = origins
    self.base = base
  }

  var count: Int { bytes.count }
  var isEmpty: Bool { bytes.isEmpty }
  /// Whether nothing was changed yet.
  var isOriginal: Bool { origins == nil }

  /// Where a byte came from.
  @inline(__always)
  func origin(_ index: Int) -> Origin {
    if let origins { return origins[index] }
    let place = UInt32(truncatingIfNeeded: base + index)
    return Origin(start: place, end: place + 1)
  }

  /// The original bytes of a range; an empty one at its place for what was put in.
  @inline(__always)
  func original(_ range: Range<Int>) -> Range<Int> {
    guard let origins else { return base + range.lowerBound..<base + range.upperBound }
    guard !range.isEmpty else {
      let place = originalPlace(range.lowerBound)
      return place..<place
    }
    let start = Int(origins[range.lowerBound].start)
    return start..<max(start, Int(origins[range.upperBound - 1].end))
  }

  /// The place in the original of the border before a byte.
  func originalPlace(_ index: Int) -> Int {
    guard let origins else { return base + index }
    if index < origins.count { return Int(origins[index].start) }
    return origins.last.map { Int($0.end) } ?? base
  }

  /// The part that comes wholly from a range of the original.
  func part(from range: Range<Int>) -> Range<Int> {
    guard let origins else {
      let whole = base..<base + bytes.count
      let inside = range.clamped(to: whole)
      return inside.lowerBound - base..<inside.upperBound - base
    }
    let start = origins.partitioningIndex { Int($0.start) >= range.lowerBound }
    let end = origins.partitioningIndex { Int($0.end) > range.upperBound }
    return start..<max(start, end)
  }

  /// A changed text, put together from pieces of this one and inserted ones.
  func rebuilt(_ body: (inout Builder) -> Void) -> AlignedText {
    var builder = Builder(self)
    body(&builder)
    return AlignedText(bytes: builder.bytes, origins: builder.origins, base: base)
  }

  /// Collects the bytes of a changed text.
  struct Builder {
    fileprivate(set) var bytes: [UInt8] = []
    fileprivate var origins: [Origin] = []
    private let source: AlignedText

    fileprivate init(_ source: AlignedText) {
      self.source = source
      // A quarter more than there is: marks for spaces take two bytes more each.
      bytes.reserveCapacity(source.count + source.count / 4 + 8)
      origins.reserveCapacity(source.count + source.count / 4 + 8)
    }

    var count: Int { bytes.count }

    /// Takes a range over as it is.
    mutating func keep(_ range: Range<Int>) {
      source.bytes.withUnsafeBufferPointer { bytes.append(contentsOf: $0[range]) }
      if let known = source.origins {
        origins.append(contentsOf: known[range])
      } else {
        let first = origins.count
        origins.append(contentsOf: repeatElement(Origin(start: 0, end: 0), count: range.count))
        let base = source.base + range.lowerBound
        origins.withUnsafeMutableBufferPointer { origins in
          for index in 0..<range.count {
            let place = UInt32(truncatingIfNeeded: base + index)
            origins[first + index] = Origin(start: place, end: place + 1)
          }
        }
      }
    }

    /// Puts one byte in place of another.
    mutating func put(_ new: UInt8, at index: Int) {
      bytes.append(new)
      origins.append(source.origin(index))
    }

    /// Puts bytes in place of a range, which may be empty.
    mutating func put(_ new: some Sequence<UInt8>, for range: Range<Int>) {
      let place = source.original(range)
      let origin = Origin(
        start: UInt32(truncatingIfNeeded: place.lowerBound),
        end: UInt32(truncatingIfNeeded: place.upperBound))
      for byte in new {
        bytes.append(byte)
        origins.append(origin)
      }
    }

    mutating func put(_ scalar: Unicode.Scalar, for range: Range<Int>) {
      put(Unicode.UTF8.encode(scalar) ?? .init(), for: range)
    }

    /// Takes back bytes at the end.
    mutating func removeLast(_ count: Int) {
      bytes.removeLast(count)
      origins.removeLast(count)
    }
  }
}

extension Array {
  /// The first index whose element satisfies a predicate that is false, then true, along the
  /// array.
  func partitioningIndex(_ belongs: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if belongs(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
