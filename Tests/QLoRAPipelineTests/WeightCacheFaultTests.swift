// Whatever breaks in the cache, the model that is loaded is the model of the files.
import Foundation
import QLoRADiagnostics
import QLoRAModels
import QLoRAPipeline
import QLoRASystem
import QLoRATensor
import TestSupport
import Synchronization
import Testing

@Suite struct WeightCacheFaultTests {
  private static let names = ["weights.bin", "index.json", "MANIFEST.json"]

  /// The only entry of a cache.
  private func entry(_ cached: CachedTiny) throws -> WeightCacheEntry {
    try #require(cached.cache().entries().first)
  }

  private func damage(_ path: String, _ change: (inout Data) -> Void) throws {
    var bytes = try Data(contentsOf: URL(filePath: path))
    change(&bytes)
    try bytes.write(to: URL(filePath: path))
  }

  /// Loads after some damage: right, with a warning, and with an intact entry in its place.
  private func expectRecovery(
    _ cached: CachedTiny, _ expected: [Float], _ comment: String
  ) throws {
    #expect(try cached.logits(cache: cached.cache()) == expected, "\(comment)")
    #expect(cached.warnings.map(\.code) == [.cacheEntryDamaged], "\(comment)")
    cached.forgetWarnings()
    try cached.cache().verify(entry(cached))
    #expect(try cached.names().count == 1, "\(comment)")
  }

  @Test(arguments: names)
  func aDamagedEntryIsMadeAnew(name: String) throws {
    let cached = try CachedTiny()
    let expected = try cached.logits(cache: cached.cache())
    let path = FilePath.join(try entry(cached).path, name)
    let size = try #require(try PosixFileSystem().status(path)).byteCount
    for position in [0, size / 3, size / 2, size - 1] {
      try damage(path) { $0[$0.startIndex + position] ^= 1 }
      #expect(throws: Diagnostic.self) { try cached.cache().verify(entry(cached)) }
      try expectRecovery(cached, expected, "\(name), byte \(position)")
    }
    for length in [0, 1, size / 2, size - 1] {
      try damage(path) { $0 = $0.prefix(length) }
      try expectRecovery(cached, expected, "\(name), cut to \(length)")
    }
    try damage(path) { $0.append(0) }
    try expectRecovery(cached, expected, "\(name), longer")
    try FileManager.default.removeItem(atPath: path)
    try expectRecovery(cached, expected, "\(name), missing")
  }

  /// An intact entry under the name of another is not taken for that.
  @Test func aRenamedEntryIsMadeAnew() throws {
    let cached = try CachedTiny()
    let expected = try cached.logits(cache: cached.cache())
    let path = try entry(cached).path
    let other = LoadOptions(quantization: .fourBit(QuantizationSpec(blockSize: 128)))
    try FileManager.default.removeItem(atPath: path)
    _ = try cached.logits(other, cache: cached.cache())
    try FileManager.default.moveItem(atPath: try entry(cached).path, toPath: path)
    try cached.cache().verify(entry(cached))
    try expectRecovery(cached, expected, "renamed")
  }

  @Test func anEntryWithoutFilesIsMadeAnew() throws {
    let cached = try CachedTiny()
    let expected = try cached.logits(cache: cached.cache())
    let path = try entry(cached).path
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    try expectRecovery(cached, expected, "empty")
  }

  /// Every kind of failure at every call of looking, keeping, and looking again.
  @Test(arguments: Fault.allCases)
  func everyFaultAtEveryCall(fault: Fault) throws {
    let expected = try CachedTiny().logits(cache: nil)
    let counting = FaultingFileSystem()
    let count = try {
      let cached = try CachedTiny()
      for _ in 0..<2 { _ = try cached.logits(cache: cached.cache(counting)) }
      return counting.callCount
    }()
    #expect(count > 20)
    for position in 0..<count {
      let cached = try CachedTiny()
      let faulting = FaultingFileSystem(at: position, fault: fault)
      for _ in 0..<2 {
        #expect(try cached.logits(cache: cached.cache(faulting)) == expected)
      }
      // What a dead process left is no entry, and the next process is served.
      for _ in 0..<2 { #expect(try cached.logits(cache: cached.cache()) == expected) }
      try cached.cache().verify(entry(cached))
      let left = try cached.names().filter { !$0.hasPrefix(".") }
      #expect(left.count == 1, "\(fault) at \(position)")
    }
  }

  @Test(arguments: [FileOperation.write, .reserve, .makeDirectory, .create])
  func aFullDiskIsAWarning(operation: FileOperation) throws {
    let cached = try CachedTiny()
    let full = FaultingFileSystem(at: 0, fault: .full, only: operation, persists: true)
    let run = try cached.tiny.train("run", cache: cached.cache(full))
    #expect(run.adapterPath != nil)
    #expect(cached.warnings.map(\.code) == [.cacheUnwritable])
    #expect(cached.warnings.first?.message.contains("space") == true)
    try cached.tiny.train("plain")
    #expect(try cached.tiny.result("run") == cached.tiny.result("plain"))
    #expect(try cached.names().isEmpty)
  }

  /// A folder that cannot be made, as under a read-only place.
  @Test func aFolderThatCannotBeIsAWarning() throws {
    let cached = try CachedTiny()
    try cached.tiny.write("cache", "a file")
    #expect(try cached.logits(cache: cached.cache()) == cached.logits(cache: nil))
    #expect(cached.warnings.map(\.code) == [.cacheUnwritable])
    #expect(cached.warnings.first?.remedy?.contains("QLORA_CACHE") == true)
  }

  /// Eight loads of one base at once: all are right, one entry remains, nobody complains.
  @Test func oneOfManyWritersWins() throws {
    let cached = try CachedTiny()
    let expected = try cached.logits(cache: nil)
    let (path, folder) = (cached.tiny.modelPath, cached.folder)
    let wrong = Counter()
    DispatchQueue.concurrentPerform(iterations: 24) { _ in
      let cache = WeightCache(folder) { _ in wrong.increment() }
      let loaded = try? LoadedModel.load(
        ModelRequest(path: path, load: CachedTiny.options, threads: 1), cache: cache)
      if loaded.map(CachedTiny.logits) != expected { wrong.increment() }
    }
    #expect(wrong.value == 0)
    #expect(try cached.names().count == 1)
    try cached.cache().verify(entry(cached))
  }
}

/// Counts on several threads.
private final class Counter: Sendable {
  private let count = Mutex(0)

  var value: Int { count.withLock { $0 } }
  func increment() { count.withLock { $0 += 1 } }
}
