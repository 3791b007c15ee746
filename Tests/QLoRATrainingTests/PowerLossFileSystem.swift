// A file system in memory that knows what is on the disk and what is only in the kernel. Cutting
// the power keeps the former and any part of the latter: each change of a directory and each block
// of a file may be there or not, in any combination.
import CQLoRASystem
import QLoRASystem
import TestSupport

/// A file or directory, as programs see it and as the disk has it.
private final class Node {
  /// nil for a directory.
  var content: [UInt8]?
  var flushedContent: [UInt8] = []
  var entries: [String: Node] = [:]
  var flushedEntries: [String: Node] = [:]
  /// Changes since the last flush, each of which may reach the disk on its own.
  var changes: [Change] = []

  enum Change {
    case link(String, Node)
    case unlink(String)
    /// A rename is atomic: both names change or neither.
    case rename(String, String, Node)
  }

  init(content: [UInt8]?) { self.content = content }

  func apply(_ change: Change) {
    Self.apply(change, to: &entries)
    changes.append(change)
  }

  static func apply(_ change: Change, to entries: inout [String: Node]) {
    switch change {
    case .link(let name, let node): entries[name] = node
    case .unlink(let name): entries[name] = nil
    case .rename(let from, let to, let node):
      entries[from] = nil
      entries[to] = node
    }
  }
}

// SAFETY: used by one test at a time.
final class PowerLossFileSystem: FileSystem, @unchecked Sendable {
  /// Bytes that reach the disk together.
  private static let blockBytes = 64

  private let root: Node
  private var openFiles: [Int32: Node] = [:]
  /// Calls that change something; the one after the last fails for ever.
  private(set) var callCount = 0
  private let callLimit: Int

  init(callLimit: Int = .max) {
    root = Node(content: nil)
    self.callLimit = callLimit
  }

  private init(root: Node) {
    self.root = root
    callLimit = .max
  }

  // MARK: Cutting the power

  /// A disk as it may be found afterwards.
  func afterPowerLoss(_ generator: inout SeededGenerator) -> PowerLossFileSystem {
    let choices = [0.0, 0.5, 0.9, 1.0]
    let odds = choices[Int.random(in: 0..<4, using: &generator)]
    return PowerLossFileSystem(root: Self.survivor(root, odds, &generator))
  }

  private static func survivor(
    _ node: Node, _ odds: Double, _ generator: inout SeededGenerator
  ) -> Node {
    func happens() -> Bool { Double.random(in: 0..<1, using: &generator) < odds }
    guard let content = node.content else {
      var entries = node.flushedEntries
      for change in node.changes where happens() { Node.apply(change, to: &entries) }
      let copy = Node(content: nil)
      for (name, child) in entries.sorted(by: { $0.key < $1.key }) {
        copy.entries[name] = survivor(child, odds, &generator)
      }
      copy.flushedEntries = copy.entries
      return copy
    }
    var kept = node.flushedContent
    if kept != content {
      // The size may arrive without the blocks, and the blocks in any order.
      let size = happens() ? content.count : Int.random(in: 0...content.count, using: &generator)
      kept = Array((kept + Array(repeating: 0, count: max(0, size - kept.count))).prefix(size))
      for start in stride(from: 0, to: size, by: blockBytes) where happens() {
        let block = start..<min(start + blockBytes, size)
        kept.replaceSubrange(block, with: content[block])
      }
    }
    let copy = Node(content: kept)
    copy.flushedContent = kept
    return copy
  }

  // MARK: Calls

  private func count(_ operation: FileOperation, _ path: String) throws(FileFailure) {
    guard callCount < callLimit else {
      throw FileFailure(operation, path, FaultingFileSystem.crashNumber)
    }
    callCount += 1
  }

  private func find(_ path: String) -> Node? {
    path.split(separator: "/").reduce(root as Node?) { $0?.entries[String($1)] }
  }

  private func directory(_ path: String, _ operation: FileOperation) throws(FileFailure) -> Node {
    guard let node = find(path), node.content == nil else {
      throw FileFailure(operation, path, qlora_error_missing)
    }
    return node
  }

  private func add(
    _ path: String, _ content: [UInt8]?, _ operation: FileOperation
  ) throws(FileFailure) -> Node {
    try count(operation, path)
    let parent = try directory(FilePath.parent(of: path), operation)
    let name = FilePath.lastComponent(of: path)
    guard parent.entries[name] == nil else {
      throw FileFailure(operation, path, qlora_error_exists)
    }
    let node = Node(content: content)
    parent.apply(.link(name, node))
    return node
  }

  func create(_ path: String) throws(FileFailure) -> OpenFile {
    let node = try add(path, [], .create)
    let descriptor = Int32(openFiles.count)
    openFiles[descriptor] = node
    return OpenFile(descriptor: descriptor, path: path)
  }

  func openForAppending(_ path: String) throws(FileFailure) -> OpenFile {
    if let node = find(path) {
      let descriptor = Int32(openFiles.count)
      openFiles[descriptor] = node
      return OpenFile(descriptor: descriptor, path: path)
    }
    return try create(path)
  }

  func reserve(_ file: OpenFile, byteCount: Int) throws(FileFailure) {
    try count(.reserve, file.path)
  }

  func write(
    _ file: OpenFile, _ bytes: UnsafeRawBufferPointer, at offset: Int?
  ) throws(FileFailure) -> Int {
    try count(.write, file.path)
    guard let node = openFiles[file.descriptor], var content = node.content else { return 0 }
    let start = offset ?? content.count
    content += Array(repeating: 0, count: max(0, start + bytes.count - content.count))
    content.replaceSubrange(start..<start + bytes.count, with: bytes)
    node.content = content
    return bytes.count
  }

  func truncate(_ file: OpenFile, to byteCount: Int) throws(FileFailure) {
    try count(.truncate, file.path)
    guard let node = openFiles[file.descriptor], let content = node.content else { return }
    node.content = Array(content.prefix(byteCount))
  }

  func synchronize(_ file: OpenFile) throws(FileFailure) {
    try count(.synchronize, file.path)
    guard let node = openFiles[file.descriptor], let content = node.content else { return }
    node.flushedContent = content
  }

  func close(_ file: OpenFile) {}

  func makeDirectory(_ path: String) throws(FileFailure) { _ = try add(path, nil, .makeDirectory) }

  /// Nothing that a run writes is a link.
  func makeLink(_ path: String, to target: String) throws(FileFailure) {
    throw FileFailure(.makeLink, path, qlora_error_denied)
  }

  func synchronizeDirectory(_ path: String) throws(FileFailure) {
    try count(.synchronizeDirectory, path)
    let node = try directory(path, .synchronizeDirectory)
    node.flushedEntries = node.entries
    node.changes = []
  }

  func rename(_ path: String, to target: String, replacing: Bool) throws(FileFailure) {
    try count(.rename, target)
    let parent = try directory(FilePath.parent(of: path), .rename)
    let (from, to) = (FilePath.lastComponent(of: path), FilePath.lastComponent(of: target))
    guard let node = parent.entries[from], FilePath.parent(of: target) == FilePath.parent(of: path)
    else { throw FileFailure(.rename, path, qlora_error_missing) }
    guard replacing || parent.entries[to] == nil else {
      throw FileFailure(.rename, target, qlora_error_exists)
    }
    parent.apply(.rename(from, to, node))
  }

  func remove(_ path: String) throws(FileFailure) {
    try count(.remove, path)
    let parent = try directory(FilePath.parent(of: path), .remove)
    parent.apply(.unlink(FilePath.lastComponent(of: path)))
  }

  func touch(_ path: String) throws(FileFailure) { try count(.touch, path) }

  func removeDirectory(_ path: String) throws(FileFailure) { try remove(path) }

  func read(_ path: String, _ body: (UnsafeRawBufferPointer) -> Void) throws(FileFailure) {
    guard let content = find(path)?.content else {
      throw FileFailure(.read, path, qlora_error_missing)
    }
    content.withUnsafeBytes(body)
  }

  func list(_ path: String) throws(FileFailure) -> [String] {
    try directory(path, .list).entries.keys.sorted()
  }

  func status(_ path: String) throws(FileFailure) -> FileStatus? {
    guard let node = find(path) else { return nil }
    return FileStatus(
      kind: node.content == nil ? .directory : .file, byteCount: node.content?.count ?? 0)
  }

  func freeByteCount(_ path: String) throws(FileFailure) -> Int { .max }
}
