// A file system for tests that fails, shortens, tears or "crashes" at its k-th call. After a crash
// every further call fails without touching the disk, as if the process were gone. Flushes and
// reservations are counted and not made: a process that dies loses nothing that the kernel has.
import CQLoRASystem

/// What happens at the chosen call.
package enum Fault: Sendable, CaseIterable {
  case inputOutput, full, interrupted, shortWrite, tornWrite, crashBefore, crashAfter
  /// The disk takes other bits than it was given, and says nothing.
  case flippedWrite

  /// Those that whoever calls hears of, or does not survive.
  package static let allCases: [Fault] = [
    .inputOutput, .full, .interrupted, .shortWrite, .tornWrite, .crashBefore, .crashAfter,
  ]

  package var isCrash: Bool { [.tornWrite, .crashBefore, .crashAfter].contains(self) }
}

/// Counts the calls that change or read content, and applies `fault` at call `position` (from 0).
// SAFETY: used by one thread at a time; a test owns it.
package final class FaultingFileSystem: FileSystem, @unchecked Sendable {
  /// The error number of every call after a crash; no system call has it.
  package static let crashNumber: Int32 = 9999

  private let base: any FileSystem
  private let position: Int
  private let fault: Fault
  private let operation: FileOperation?
  private let persists: Bool
  private var open: Set<OpenFile> = []
  /// Calls so far.
  package private(set) var callCount = 0
  package private(set) var hasCrashed = false

  /// - Parameters:
  ///   - position: nil only counts.
  ///   - operation: the only kind of call that is struck and counted; nil for all.
  ///   - persists: whether every call from `position` on is struck.
  package init(
    _ base: any FileSystem = PosixFileSystem(), at position: Int? = nil,
    fault: Fault = .crashBefore, only operation: FileOperation? = nil, persists: Bool = false
  ) {
    self.base = base
    self.position = position ?? .max
    self.fault = fault
    self.operation = operation
    self.persists = persists
  }

  /// Counts a call, and says whether it is to be struck.
  private func counts(_ operation: FileOperation) -> Bool {
    guard self.operation == nil || self.operation == operation else { return false }
    defer { callCount += 1 }
    return persists ? callCount >= position : callCount == position
  }

  private func crash() {
    hasCrashed = true
    open.forEach(base.close)
    open = []
  }

  private func perform<Result>(
    _ operation: FileOperation, _ path: String, _ body: () throws(FileFailure) -> Result
  ) throws(FileFailure) -> Result {
    if hasCrashed { throw FileFailure(operation, path, Self.crashNumber) }
    guard counts(operation) else { return try body() }
    return try strike(operation, path, body)
  }

  private func strike<Result>(
    _ operation: FileOperation, _ path: String, _ body: () throws(FileFailure) -> Result
  ) throws(FileFailure) -> Result {
    switch fault {
    case .inputOutput: throw FileFailure(operation, path, qlora_error_io)
    case .full: throw FileFailure(operation, path, qlora_error_full)
    case .interrupted: throw FileFailure(operation, path, qlora_error_interrupted)
    case .shortWrite, .tornWrite, .flippedWrite:
      guard !hasCrashed else { break }
      return try body()
    case .crashBefore: crash()
    case .crashAfter:
      _ = try body()
      crash()
    }
    throw FileFailure(operation, path, Self.crashNumber)
  }

  private func alive(_ operation: FileOperation, _ path: String) throws(FileFailure) {
    if hasCrashed { throw FileFailure(operation, path, Self.crashNumber) }
  }

  package func create(_ path: String) throws(FileFailure) -> OpenFile {
    try perform(.create, path) { () throws(FileFailure) in
      let file = try base.create(path)
      open.insert(file)
      return file
    }
  }

  package func openForAppending(_ path: String) throws(FileFailure) -> OpenFile {
    try perform(.openForAppending, path) { () throws(FileFailure) in
      let file = try base.openForAppending(path)
      open.insert(file)
      return file
    }
  }

  package func reserve(_ file: OpenFile, byteCount: Int) throws(FileFailure) {
    try perform(.reserve, file.path) { () throws(FileFailure) in }
  }

  package func write(
    _ file: OpenFile, _ bytes: UnsafeRawBufferPointer, at offset: Int?
  ) throws(FileFailure) -> Int {
    try alive(.write, file.path)
    guard counts(.write) else { return try base.write(file, bytes, at: offset) }
    let half = UnsafeRawBufferPointer(rebasing: bytes[..<((bytes.count + 1) / 2)])
    if fault == .shortWrite { return try base.write(file, half, at: offset) }
    if fault == .flippedWrite {
      var flipped = Array(bytes)
      if !flipped.isEmpty { flipped[flipped.count / 2] ^= 1 }
      return try flipped.withUnsafeBytes { flipped in
        Result { () throws(FileFailure) in try base.write(file, flipped, at: offset) }
      }.get()
    }
    if fault == .tornWrite {
      _ = try base.write(file, half, at: offset)
      crash()
    }
    return try strike(.write, file.path) { () throws(FileFailure) in
      try base.write(file, bytes, at: offset)
    }
  }

  package func truncate(_ file: OpenFile, to byteCount: Int) throws(FileFailure) {
    try perform(.truncate, file.path) { () throws(FileFailure) in
      try base.truncate(file, to: byteCount)
    }
  }

  package func synchronize(_ file: OpenFile) throws(FileFailure) {
    try perform(.synchronize, file.path) { () throws(FileFailure) in }
  }

  package func close(_ file: OpenFile) {
    if open.remove(file) != nil { base.close(file) }
  }

  package func makeDirectory(_ path: String) throws(FileFailure) {
    try perform(.makeDirectory, path) { () throws(FileFailure) in try base.makeDirectory(path) }
  }

  package func makeLink(_ path: String, to target: String) throws(FileFailure) {
    try perform(.makeLink, path) { () throws(FileFailure) in
      try base.makeLink(path, to: target)
    }
  }

  package func synchronizeDirectory(_ path: String) throws(FileFailure) {
    try perform(.synchronizeDirectory, path) { () throws(FileFailure) in }
  }

  package func rename(
    _ path: String, to target: String, replacing: Bool
  ) throws(FileFailure) {
    try perform(.rename, target) { () throws(FileFailure) in
      try base.rename(path, to: target, replacing: replacing)
    }
  }

  package func remove(_ path: String) throws(FileFailure) {
    try perform(.remove, path) { () throws(FileFailure) in try base.remove(path) }
  }

  package func removeDirectory(_ path: String) throws(FileFailure) {
    try perform(.removeDirectory, path) { () throws(FileFailure) in
      try base.removeDirectory(path)
    }
  }

  package func touch(_ path: String) throws(FileFailure) {
    try perform(.touch, path) { () throws(FileFailure) in try base.touch(path) }
  }

  package func read(
    _ path: String, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(FileFailure) {
    try perform(.read, path) { () throws(FileFailure) in try base.read(path, body) }
  }

  package func list(_ path: String) throws(FileFailure) -> [String] {
    try alive(.list, path)
    return try base.list(path)
  }

  package func status(_ path: String) throws(FileFailure) -> FileStatus? {
    try alive(.status, path)
    return try base.status(path)
  }

  package func freeByteCount(_ path: String) throws(FileFailure) -> Int {
    try alive(.freeSpace, path)
    return try base.freeByteCount(path)
  }
}
