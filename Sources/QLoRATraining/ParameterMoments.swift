// The states of an optimizer by parameter: in memory, in a file from which those of one parameter
// come when it is updated, or outside of a device's memory.
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor

/// Some moments for each parameter, zeros at first. Where they lie changes no bit of them.
struct ParameterMoments {
  private let updates: [ParameterUpdate]
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
    let isOutside = folder != nil && backend.hasOutsideMemory
    let pages = try diagnosing { () throws(FileFailure) -> PagedStates? in
      guard let folder, !isOutside, !shapes.isEmpty else { return nil }
      return try PagedStates(
        shapes.map { shape in
          (0..<count).flatMap { _ in
            OptimizerMoment.byteCounts(of: shape.count, blockwise: blockwise)
          }
        }, in: folder)
    }
    self.pages = pages
    updates = parameters.enumerated().map { index, parameter in
      var part = 0
      let moments = (0..<count).map { _ in
        OptimizerMoment(zeros: parameter.value.shape, blockwise: blockwise) { shape, dtype in
          defer { part += 1 }
          return pages?.tensor(shape, dtype, parameter: index, part: part)
            ?? (isOutside ? backend.outsideZeros(shape, dtype) : Tensor(zeros: shape, dtype))
        }
      }
      return ParameterUpdate(
        parameter: parameter.value, gradient: parameter.gradient, moments: moments)
    }
  }

  subscript(index: Int) -> [OptimizerMoment] { updates[index].moments }

  /// Every parameter in order: all at once where states are in memory; else one after the other,
  /// and the states of the next one are read while `update` runs.
  func update(_ update: ([ParameterUpdate]) -> Void) {
    guard let pages else { return update(updates) }
    for index in updates.indices {
      pages.prepare(index + 1)
      update([updates[index]])
      pages.release(index)
    }
  }

  func releasePages() { pages?.releaseAll() }
}
