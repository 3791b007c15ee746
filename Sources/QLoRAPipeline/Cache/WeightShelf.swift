// The place of one base in the cache: found there, or put there when it was loaded from its files.

import QLoRAFormats
import QLoRAModels
import QLoRASystem
import QLoRATensor

struct WeightShelf {
  let cache: WeightCache
  let key: WeightCacheKey
  let source: ModelSource
  let backend: any WeightArchiving

  /// The base; nil where the cache does not have it.
  func base() -> CachedBase? { cache.base(key, backend) }

  /// What `qlora cache ls` calls the base.
  var modelName: String { FilePath.lastComponent(of: source.path) }

  /// A file that changed since it was opened may have been digested before and read after that.
  var isUnchanged: Bool { source.digestInputs.allSatisfy(\.isUnchanged) }

  /// Puts a model that was loaded just now into the cache.
  func keep(_ model: DecoderModel) {
    guard isUnchanged else { return }
    cache.store(
      key, model: modelName,
      model.weightsByModule.map { ($0.module, backend.archive($0.weight)) })
  }
}

extension WeightCache {
  /// - Parameter content: the digest of the model's files, where it is known.
  /// - Returns: nil for a base that is not quantized: its own files are as quick to load.
  /// - Throws: what reading the model's files throws.
  func shelf(
    for source: ModelSource, content: Digest?, options: LoadOptions,
    backend: any WeightArchiving
  ) throws -> WeightShelf? {
    guard options.quantization != nil else { return nil }
    let key = WeightCacheKey(
      content: try content ?? source.contentDigest(), options: options,
      layout: backend.weightLayout)
    return WeightShelf(cache: self, key: key, source: source, backend: backend)
  }
}
