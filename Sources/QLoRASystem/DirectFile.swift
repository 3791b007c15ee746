// A file that is read piece by piece into memory of the reader's own, without a copy in the page
// cache: what was read and passed on then counts nowhere.
import CQLoRASystem

/// Open for reading until the last reference is gone, whatever becomes of its name.
package final class DirectFile: Sendable {
  /// Direct reads begin and end at multiples of this: no common disk has larger blocks.
  static let alignment = 4096

  package let path: String
  private let descriptor: Int32

  package init(_ path: String) throws(FileFailure) {
    let outcome = qlora_open_direct(path)
    guard outcome >= 0 else { throw FileFailure(.read, path, -outcome) }
    self.path = path
    descriptor = outcome
  }

  deinit { _ = qlora_close(descriptor) }

  /// What has to be read for `range`: whole blocks.
  static func blocks(around range: Range<Int>) -> Range<Int> {
    let end = (range.upperBound + alignment - 1) / alignment * alignment
    return range.lowerBound / alignment * alignment..<end
  }

  /// Reads the blocks around `range` to the front of `buffer`, which is aligned and large enough.
  ///
  /// - Throws: where the system fails, or the file ends before the range does.
  func readBlocks(
    around range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
  ) throws(FileFailure) {
    // SAFETY: the count never leaves what is left of the buffer.
    let blocks = Self.blocks(around: range)
    guard let start = buffer.baseAddress, buffer.count >= blocks.count else {
      preconditionFailure("a buffer smaller than the blocks that it is for")
    }
    var done = 0
    while blocks.lowerBound + done < range.upperBound {
      let offset = Int64(blocks.lowerBound + done)
      let outcome = qlora_read_at(descriptor, start + done, blocks.count - done, offset)
      if outcome == -Int64(qlora_error_interrupted) { continue }
      guard outcome > 0 else {
        throw FileFailure(.read, path, outcome == 0 ? qlora_error_io : Int32(-outcome))
      }
      done += Int(outcome)
    }
  }
}
