// The noise levels of a generation, and the step from one to the next.
// Source: Esser et al. 2024, arXiv:2403.03206, sections 2 and 5.3.2 (shifts by resolution); the
// class FlowMatchEulerDiscreteScheduler of diffusers for the words of its configuration.
import QLoRADiagnostics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

package struct NoiseSchedule: Sendable {
  private let shift: Double
  /// Whether the shift follows from the number of patches.
  private let isDynamic: Bool
  private let baseShift: Double
  private let largestShift: Double
  private let baseLength: Double
  private let largestLength: Double

  /// Levels that training has.
  private static let levels = 1000.0

  /// - Throws: `imageConfigInvalid`.
  package init(_ folder: ImageFolder) throws {
    guard let config = try folder.configuration("scheduler", "scheduler_config.json") else {
      (shift, isDynamic) = (1, false)
      (baseShift, largestShift, baseLength, largestLength) = (0.5, 1.15, 256, 4096)
      return
    }
    shift = try config.number("shift", default: 1)
    isDynamic = try config.flag("use_dynamic_shifting", default: false)
    baseShift = try config.number("base_shift", default: 0.5)
    largestShift = try config.number("max_shift", default: 1.15)
    baseLength = try config.number("base_image_seq_len", default: 256)
    largestLength = try config.number("max_image_seq_len", default: 4096)
    for key in [
      "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
      "stochastic_sampling",
    ] where try config.flag(key, default: false) {
      throw config.failure(key, "false; this program does not compute it")
    }
    _ = try config.word("time_shift_type", of: ["exponential"])
    guard try config.number("shift_terminal", default: 0) == 0 else {
      throw config.failure("shift_terminal", "null; this program does not compute it")
    }
  }

  /// From all noise to none: `steps + 1` levels, the last 0.
  ///
  /// - Parameters:
  ///   - patches: of the image, which a dynamic shift follows.
  ///   - family: FLUX.1's levels begin evenly, those of Stable Diffusion 3 at the shifted ends.
  package func sigmas(steps: Int, patches: Int, family: ImageFamily) -> [Float] {
    let last: Double
    switch family {
    case .flux: last = 1 / Double(steps)
    case .sd3:
      // The scheduler's least level, which is shifted once more below where shifts are fixed.
      last = isDynamic ? 1 / Self.levels : shifted(1 / Self.levels)
    }
    let slope = (baseShift - largestShift) / (baseLength - largestLength)
    let mu = exp(baseShift + slope * (Double(patches) - baseLength))
    let levels = (0..<steps).map { step -> Float in
      let part = steps > 1 ? Double(step) / Double(steps - 1) : 0
      let plain = 1 + part * (last - 1)
      return Float(isDynamic ? mu / (mu + (1 / plain - 1)) : shifted(plain))
    }
    return levels + [0]
  }

  private func shifted(_ sigma: Double) -> Double { shift * sigma / (1 + (shift - 1) * sigma) }
}
