// What a model asks of a place that keeps the weights of some of its blocks outside of memory.

/// Lends the weights of one block at a time, which it reads before the block's turn.
package protocol BlockStore: AnyObject {
  /// Blocks by index, in the order in which they are going to be used.
  func expect(_ blocks: [Int])
  /// - Throws: where weights could not be read: nothing that was computed since counts.
  func check() throws
}

extension DecoderModel {
  /// Says which blocks a pass is going to use, and, as passes follow each other, what comes after.
  func announcePass(isRecording: Bool) {
    guard let blockStore else { return }
    let forward = Array(blocks.indices)
    blockStore.expect(forward + (isRecording ? forward.reversed() : []) + forward)
  }

  /// To be called before anything that a pass computed is used.
  /// - Throws: where weights that wait on a disk could not be read.
  package func checkWeights() throws { try blockStore?.check() }
}
