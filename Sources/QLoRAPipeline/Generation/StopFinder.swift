// Stop texts in an answer that comes in pieces, also where they begin in one and end in another.

package struct StopFinder: Sendable {
  private let stops: [[UInt8]]
  /// The end of the text so far, which may be the beginning of a stop.
  private var held: [UInt8] = []
  package private(set) var isFound = false

  /// - Parameter stops: empty ones are passed over.
  package init(_ stops: [String]) {
    self.stops = stops.filter { !$0.isEmpty }.map { Array($0.utf8) }
  }

  /// What of the text so far is certain to belong to the answer and was not handed out before.
  package mutating func append(_ piece: String) -> String {
    if isFound { return "" }
    if stops.isEmpty { return piece }
    held += Array(piece.utf8)
    if let start = held.indices.first(where: { start in
      stops.contains { held[start...].starts(with: $0) }
    }) {
      isFound = true
      defer { held = [] }
      return String(decoding: held[..<start], as: UTF8.self)
    }
    // A stop begins with a whole character, so what is held does, too.
    let keep = held.indices.first { start in stops.contains { $0.starts(with: held[start...]) } }
    let certain = keep ?? held.count
    defer { held.removeFirst(certain) }
    return String(decoding: held[..<certain], as: UTF8.self)
  }

  /// What is left when no more comes.
  package mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }
}
