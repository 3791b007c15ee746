// How a product is cut into work items and visits of the caches. Nothing here changes a bit of a
// result: a sum runs in the order of its index however it is cut.

/// Sizes of the blocks of a product, and the caches that they are for.
enum ProductBlocking {
  /// Steps of the reduction per visit of a tile: 128 × 48 floats are 24 KiB, inside L1.
  static let depth = 128
  /// Steps whose weights are decoded at once: times `maximumWidth` they are 192 KiB, inside L2.
  static let chunk = 256
  /// Results per token of one item, over which its activations are read once. Few tokens gain
  /// nothing from wide items, and are better shared out among the threads.
  static let maximumWidth = 192
  static let minimumWidth = 96
  static let minimumWidthOfFewTiles = 32
  static let fewTiles = 3
  /// Tiles of an item: their results, 36 KiB each, stay in L2 beside the weights from one chunk to
  /// the next. More tokens decode the weights again, at about a hundredth of the product.
  static let maximumTiles = 12
  /// Items per thread, so that the last ones to finish wait for little.
  static let itemsPerThread = 4

  /// Results per token of one item, a multiple of 16.
  static func width(outputs: Int, tiles: Int, threads: Int) -> Int {
    let least = tiles > fewTiles ? minimumWidth : minimumWidthOfFewTiles
    let balanced = (outputs / (threads * itemsPerThread) + 15) / 16 * 16
    return min(maximumWidth, max(least, balanced))
  }

  /// Cuts the tiles so that they fit, and further where `blocks` alone are too few to share out.
  static func parts(tiles: Int, blocks: Int, threads: Int) -> [Range<Int>] {
    let shared = min(tiles, (threads * 2 + blocks - 1) / max(1, blocks))
    let parts = max(1, shared, (tiles + maximumTiles - 1) / maximumTiles)
    return (0..<parts).map { $0 * tiles / parts..<($0 + 1) * tiles / parts }
  }
}
