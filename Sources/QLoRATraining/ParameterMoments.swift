// The states of an optimizer by parameter: in memory, in a file from which those of one parameter
// come when it is updated, or outside of a device's memory.
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor

/// Some moments for each parameter, zeros at first. Where they lie changes no bit of them.
struct ParameterMoments {
  private let moments: [[OptimizerMoment]]
  /// nil where they are in memory.
  private let pages: PagedStates?

  /// - Parameters:
  ///   - count: moments of a parameter.
  ///   - folder: where the file of their pages is made, unless the device has memory outside of
  ///     its own; nil keeps them in memory.
  /// - Throws: where the disk has no room.
  init(
    _ parameters: [Parameter], backend: any OptimizerBackend, count: Int, blockwise: Bool,
    pagesIn folder: String?
  ) throws(Diagnostic) {
    let shapes = parameters.map(\.value.shape)
    if folder != nil, backend.hasOutsideMemory {
      pages = nil
      moments = shapes.map { shape in
        (0..<count).map { _ in
          OptimizerMoment(zeros: shape, blockwise: blockwise, tensor: backend.outsideZeros)
        }
      }
      return
    }
    guard let folder, !shapes.isEmpty else {
      pages = nil
      moments = shapes.map { shape in
        (0..<count).map { _ in OptimizerMoment(zeros: shape, blockwise: blockwise) }
      }
      return
    }
    let pages = try diagnosing { () throws(FileFailure) in
      try PagedStates(
        shapes.map { shape in
          (0..<count).flatMap { _ in
            OptimizerMoment.byteCounts(of: shape.count, blockwise: blockwise)
          }
        }, in: folder)
    }
    self.pages = pages
    moments = shapes.enumerated().map { index, shape in
      var part = 0
      return (0..<count).map { _ in
        OptimizerMoment(zeros: shape, blockwise: blockwise) { shape, dtype in
          defer { part += 1 }
          return pages.tensor(shape, dtype, parameter: index, part: part)
        }
      }
    }
  }

  subscript(index: Int) -> [OptimizerMoment] { moments[index] }

  /// Every parameter in order; the states of the next one are read while `update` runs.
  func forEach(_ update: (_ index: Int, _ moments: [OptimizerMoment]) -> Void) {
    for (index, moments) in moments.enumerated() {
      pages?.prepare(index + 1)
      update(index, moments)
      pages?.release(index)
    }
  }

  func releasePages() { pages?.releaseAll() }
}
