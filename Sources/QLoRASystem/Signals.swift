// Requests to stop, as a flag that the training loop polls; the handler itself is C.
import CQLoRASystem

package enum Signals {
  /// Makes INT, TERM, HUP, USR1, USR2 and XCPU set a flag, a second INT leave at once with status
  /// 130, and broken pipes and file size limits ordinary write errors. Call once, early, and
  /// before threads are started: they take over which signals are blocked.
  package static func install() { _ = qlora_signals_install() }

  /// Makes broken pipes and file size limits ordinary write errors, so that what is half-written
  /// is removed and the reason told; every other signal does as before.
  package static func spareWrites() { _ = qlora_signals_spare_writes() }

  /// The first signal since `clear()`.
  package static var pending: Int32? {
    let number = qlora_signals_pending()
    return number == 0 ? nil : number
  }

  package static func clear() { qlora_signals_clear() }
}

/// What this process has used.
package enum ProcessMemory {
  /// The largest resident size so far, in bytes.
  package static var peakByteCount: Int { Int(qlora_peak_memory_bytes()) }

  /// Keeps large blocks out of the heap, where small ones would settle in the holes that tiles
  /// leave between weights. glibc's own threshold grows to 32 MiB and so lets them in.
  package static func keepLargeBlocksApart() {
    let largeBytes = 128 << 10
    qlora_map_allocations_from(largeBytes)
  }
}
