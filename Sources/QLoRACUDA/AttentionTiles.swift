// How attention in tiles cuts its work for each head size, as the last lines of
// `kernels/attention_tiles.cu` say it: what a block has in shared memory, and how many there are.

struct AttentionTiles {
  let headSize: Int
  /// Rows of queries of a block, and the keys that pass by at once.
  let forward: (queries: Int, keys: Int)
  /// The same of the queries' gradient.
  let queryGradient: (queries: Int, keys: Int)
  /// Of the keys' gradient: the queries that pass by each group of warps at once.
  let keyGradient: (oneGroup: Int, twoGroups: Int?)
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
    switch headSize {
    case 64: (forward, queryGradient, keyGradient) = ((64, 64), (64, 64), (64, 64))
    case 96, 128: (forward, queryGradient, keyGradient) = ((128, 64), (64, 32), (64, 32))
    case 256: (forward, queryGradient, keyGradient) = ((64, 32), (64, 32), (32, nil))
    default: return nil
    }
  }

  /// Blocks that give every multiprocessor of the largest devices a few, so that each may be small.
  private static let manyBlocks = 512

  /// Groups of warps that share the keys of a block. Where blocks are few, the one whose keys most
  /// queries see is what all wait for.
  func groups(blocks: Int) -> Int {
    keyGradient.twoGroups == nil || blocks >= Self.manyBlocks ? 1 : 2
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
    let queries = groups == 2 ? keyGradient.twoGroups ?? 0 : keyGradient.oneGroup
    let tiles = bytes(2 * Self.keyRows + groups * (stages + 1) * queries)
    // The second group hands its sums of two gradients to the first.
    return groups == 2 ? max(tiles, 2 * Self.keyRows * headSize * 4) : tiles
  }
}
