// One record of a TensorBoard event file: the few protobuf fields of `Event` that scalars need, in
// the frame of a TFRecord.

/// A moment of a run with the scalars that belong to it.
package struct EventRecord: Sendable, Equatable {
  package enum Content: Sendable, Equatable {
    /// Heads every file.
    case fileVersion
    /// Tells a reader to forget what it has read from `step` on.
    case sessionStart
    case scalars([Scalar])
  }

  package struct Scalar: Sendable, Equatable {
    package let tag: String
    package let value: Float

    package init(_ tag: String, _ value: Double) {
      self.tag = tag
      self.value = Float(value)
    }
  }

  /// Seconds since 1970.
  package var wallTime: Double
  package var step: Int
  package var content: Content

  package init(wallTime: Double, step: Int, content: Content) {
    self.wallTime = wallTime
    self.step = step
    self.content = content
  }

  private static let version = "brain.Event:2"

  /// Field numbers of `Event`, `Summary`, `Summary.Value` and `SessionLog`.
  private enum Field {
    static let wallTime = 1, step = 2, fileVersion = 3, summary = 5, sessionLog = 7
    static let value = 1, tag = 1, simpleValue = 2, status = 1
  }

  /// `SessionLog.START`.
  private static let start: UInt64 = 1

  /// The record as a file has it: length, checksum of the length, message, checksum of the message.
  package var bytes: [UInt8] {
    let message = message
    let length = Protobuf.littleEndian(UInt64(message.count))
    return length + Protobuf.littleEndian(CRC32C.masked(length)) + message
      + Protobuf.littleEndian(CRC32C.masked(message))
  }

  private var message: [UInt8] {
    var output = Protobuf.field(Field.wallTime, double: wallTime)
    if step != 0 { output += Protobuf.field(Field.step, varint: UInt64(max(0, step))) }
    switch content {
    case .fileVersion:
      output += Protobuf.field(Field.fileVersion, bytes: Array(Self.version.utf8))
    case .sessionStart:
      output += Protobuf.field(
        Field.sessionLog, bytes: Protobuf.field(Field.status, varint: Self.start))
    case .scalars(let scalars):
      let values = scalars.flatMap { scalar in
        Protobuf.field(
          Field.value,
          bytes: Protobuf.field(Field.tag, bytes: Array(scalar.tag.utf8))
            + Protobuf.field(Field.simpleValue, float: scalar.value))
      }
      output += Protobuf.field(Field.summary, bytes: values)
    }
    return output
  }
}
