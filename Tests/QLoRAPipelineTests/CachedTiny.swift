// The tiny model loaded with and without a cache, and what both then say.
import Foundation
import QLoRADiagnostics
import QLoRAModels
import QLoRAPipeline
import QLoRASystem
import QLoRATensor
import TestSupport

/// A tiny model and a cache of its own.
final class CachedTiny {
  let tiny: TinyRun
  private(set) var warnings: [Diagnostic] = []

  init() throws { tiny = try TinyRun() }

  var folder: String { tiny.folder.path("cache") }

  func cache(
    _ files: any FileSystem = PosixFileSystem(), byteLimit: Int = WeightCache.defaultByteLimit
  ) -> WeightCache {
    WeightCache(folder, byteLimit: byteLimit, files) { self.warnings.append($0) }
  }

  static let options = LoadOptions(computeDType: .bfloat16)

  /// Logits of the tiny model as it is now.
  func logits(_ options: LoadOptions = options, cache: WeightCache?) throws -> [Float] {
    try Self.logits(load(options, cache: cache))
  }

  func load(
    _ options: LoadOptions = options, cache: WeightCache?,
    progress: @escaping (Double) -> Void = { _ in }
  ) throws -> LoadedModel {
    try LoadedModel.load(
      ModelRequest(path: tiny.modelPath, load: options, threads: 1), cache: cache,
      progress: progress)
  }

  static func logits(_ loaded: LoadedModel) -> [Float] {
    loaded.model.nextLogits(after: [5, 17, 3, 250, 99], loaded.model.makeCache())
  }

  /// Names in the cache's folder, temporary ones too.
  func names() throws -> [String] {
    (try? PosixFileSystem().list(folder)) ?? []
  }

  func forgetWarnings() { warnings = [] }
}
