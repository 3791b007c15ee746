// Reads TensorBoard event files back, written from their format and not from our writer, so that
// the two check each other; checksums are the caller's to check.

/// An event of a file with the scalars in it.
package struct ReadEvent: Equatable {
  package var wallTime: Double
  package var step: Int
  package var isSessionStart = false
  package var scalars: [ReadScalar]

  package init(wallTime: Double = 0, step: Int = 0, scalars: [ReadScalar] = []) {
    self.wallTime = wallTime
    self.step = step
    self.scalars = scalars
  }
}

package struct ReadScalar: Equatable {
  package var tag: String
  package var value: Float

  package init(tag: String = "", value: Float = .nan) {
    self.tag = tag
    self.value = value
  }
}

package enum EventFileReader {
  private enum Value {
    case number(UInt64)
    case bytes(ArraySlice<UInt8>)
  }

  /// - Parameter checksum: the masked one of some bytes.
  /// - Returns: events up to the first that is torn or damaged.
  package static func events(
    _ file: [UInt8], checksum: (ArraySlice<UInt8>) -> UInt32
  ) -> [ReadEvent] {
    var events: [ReadEvent] = []
    var rest = file[...]
    while rest.count >= 16 {
      let length = rest.prefix(8)
      let count = Int(clamping: number(length))
      guard number(rest.dropFirst(8).prefix(4)) == UInt64(checksum(length)),
        count <= rest.count - 16
      else { break }
      let message = rest.dropFirst(12).prefix(count)
      rest = rest[message.endIndex...]
      guard number(rest.prefix(4)) == UInt64(checksum(message)) else { break }
      rest = rest.dropFirst(4)
      events.append(event(message))
    }
    return events
  }

  /// What a TensorBoard shows of events in their order: a start takes back what is not before it.
  package static func shown(_ events: [ReadEvent]) -> [ReadEvent] {
    events.reduce(into: []) { shown, event in
      if event.isSessionStart { shown.removeAll { $0.step >= event.step } }
      if !event.scalars.isEmpty { shown.append(event) }
    }
  }

  private static func event(_ message: ArraySlice<UInt8>) -> ReadEvent {
    var event = ReadEvent()
    for (field, value) in fields(message) {
      switch (field, value) {
      case (1, .number(let bits)): event.wallTime = Double(bitPattern: bits)
      case (2, .number(let step)): event.step = Int(step)
      case (5, .bytes(let summary)):
        event.scalars += fields(summary).map { scalar($0.value) }
      case (7, .bytes(let log)):
        if case .number(1)? = fields(log).first?.value { event.isSessionStart = true }
      default: break
      }
    }
    return event
  }

  private static func scalar(_ value: Value) -> ReadScalar {
    var scalar = ReadScalar()
    guard case .bytes(let message) = value else { return scalar }
    for (field, value) in fields(message) {
      switch (field, value) {
      case (1, .bytes(let text)): scalar.tag = String(decoding: text, as: UTF8.self)
      case (2, .number(let bits)): scalar.value = Float(bitPattern: UInt32(bits))
      default: break
      }
    }
    return scalar
  }

  /// Protobuf: a key of field number and wire type, then a varint, 8 or 4 bytes, or counted bytes.
  private static func fields(_ message: ArraySlice<UInt8>) -> [(field: Int, value: Value)] {
    var fields: [(field: Int, value: Value)] = []
    var rest = message
    while !rest.isEmpty {
      let key = varint(&rest)
      let value: Value
      switch key & 7 {
      case 0: value = .number(varint(&rest))
      case 1, 5:
        let size = key & 7 == 1 ? 8 : 4
        value = .number(number(rest.prefix(size)))
        rest = rest.dropFirst(size)
      default:
        let count = Int(varint(&rest))
        value = .bytes(rest.prefix(count))
        rest = rest.dropFirst(count)
      }
      fields.append((Int(key >> 3), value))
    }
    return fields
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func varint(_ rest: inout ArraySlice<UInt8>) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = rest.popFirst() {
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { break }
      shift += 7
    }
    return value
  }
}
