// How attention in tiles cuts its work for each head size, as the files
// `kernels/attention_tiles_….cu` say it: what a block has in shared memory, and how many there are.

struct AttentionTiles {
  let headSize: Int
  /// Rows of queries of a block, and the keys that pass by at once.
  let forward: (queries: Int, keys: Int)
  /// The same of the queries' gradient.
  let queryGradient: (queries: Int, keys: Int)
  /// Queries that pass by each group of warps of the keys' gradient at once.
  let keyGradientQueries: Int
  /// The most groups of warps that share the keys of a block there.
  private let mostGroups: Int
  /// Whether what comes next is copied while the present is used.
  let isStaged: Bool
  /// Into how many blocks a gradient's columns are cut: 256 are too many for a thread's registers.
  let columnParts: Int

  /// Rows of keys of a block of their gradient.
  static let keyRows = 64

  /// nil for a head size that the tiles do not know.
  init?(headSize: Int) {
    self.headSize = headSize
    isStaged = headSize != 256
    columnParts = headSize == 256 ? 2 : 1
    mostGroups = headSize == 256 ? 1 : 2
    keyGradientQueries = headSize == 256 ? 32 : 64
    switch headSize {
    case 64: (forward, queryGradient) = ((64, 64), (64, 64))
    case 96, 128: (forward, queryGradient) = ((128, 64), (64, 64))
    case 256: (forward, queryGradient) = ((64, 32), (64, 32))
    default: return nil
    }
  }

  /// Groups of warps that share the keys of a block: as many as its shared memory holds. The block
  /// whose keys most queries see is what all wait for in the end.
  /// - Parameter sharedBytes: of a block.
  func groups(sharedBytes: Int) -> Int {
    keyGradientBytes(groups: mostGroups) <= sharedBytes ? mostGroups : 1
  }

  // MARK: Shared memory, in bytes

  /// Of rows of a head; the padding lets eight rows lie in different banks.
  private func bytes(_ rows: Int) -> Int { rows * (headSize + 8) * 2 }

  private var stages: Int { isStaged ? 2 : 1 }

  var forwardBytes: Int { bytes(forward.queries + 2 * forward.keys) }

  var queryGradientBytes: Int {
    bytes(2 * queryGradient.queries + (stages + 1) * queryGradient.keys)
  }

  func keyGradientBytes(groups: Int) -> Int {
    let tiles = bytes(2 * Self.keyRows + groups * (stages + 1) * keyGradientQueries)
    // The second group hands its sums of two gradients to the first.
    return groups == 2 ? max(tiles, 2 * Self.keyRows * headSize * 4) : tiles
  }
}
