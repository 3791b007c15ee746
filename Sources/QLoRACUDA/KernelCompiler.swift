// The kernels' texts to machine code by NVRTC, which needs no device.
import CQLoRACUDA
import QLoRADiagnostics

/// For what a text is compiled.
package enum KernelTarget: Sendable, Hashable, CustomStringConvertible {
  /// Machine code of one level, such as 90.
  case machineCode(Int)
  /// Assembly that a driver compiles for its device, of that level or a later one.
  case assembly(Int)

  package var description: String {
    switch self {
    case .machineCode(let level): "sm_\(level)"
    case .assembly(let level): "compute_\(level)"
    }
  }
}

/// A text with the name that logs show.
package struct KernelSource: Sendable {
  package let name: String
  package let text: String

  package init(name: String, text: String) {
    self.name = name
    self.text = text
  }

  /// All texts of this program, each with what stands before it.
  package static let all: [KernelSource] = {
    let common = String(cString: qlora_cuda_common.text)
    return (0..<qlora_cuda_source_count).map { index in
      let source = qlora_cuda_source_at(index)
      return KernelSource(
        name: String(cString: source.name), text: common + String(cString: source.text))
    }
  }()
}

// SAFETY: a program's handle is destroyed once, after its last use; buffers have the sizes that the
// compiler names.
package struct KernelCompiler: @unchecked Sendable {
  private let functions: qlora_cuda_compiler

  package init(_ functions: qlora_cuda_compiler) { self.functions = functions }

  /// Such as "12.9".
  package var version: String {
    let version = CUDALibraries.version(of: functions)
    return version.map { "\($0.major).\($0.minor)" } ?? "unknown"
  }

  /// The levels that this version makes machine code for, ascending.
  package var levels: [Int] {
    var count: Int32 = 0
    guard functions.level_count(&count) == 0, count > 0 else { return [] }
    var levels = [Int32](repeating: 0, count: Int(count))
    guard functions.levels(&levels) == 0 else { return [] }
    return levels.map(Int.init).sorted()
  }

  /// Ampere, Ada, Hopper, Blackwell.
  package static let intendedLevels = [80, 86, 89, 90, 100, 120]

  /// What a device of `level` runs: machine code where this version knows the level, else assembly
  /// of the oldest.
  package func target(of level: Int) -> KernelTarget {
    levels.contains(level) ? .machineCode(level) : .assembly(CUDADevice.oldestLevel)
  }

  static func options(_ target: KernelTarget) -> [String] {
    // The last one lets lambdas be the device's.
    [
      "--gpu-architecture=\(target)", "--std=c++17", "--diag-suppress=177",
      "--device-as-default-execution-space",
    ]
  }

  /// - Throws: `kernelNotCompiled` with the compiler's log.
  package func compile(_ source: KernelSource, for target: KernelTarget) throws -> [UInt8] {
    var handle: qlora_cuda_handle?
    guard functions.create(&handle, source.text, source.name + ".cu", 0, nil, nil) == 0,
      let program = handle
    else { throw refusal(source, target, "no program could be made") }
    defer { _ = functions.destroy(&handle) }
    let options = Self.options(target).map { Array($0.utf8CString) }
    let status = withPointers(options) {
      functions.compile(program, Int32(options.count), $0)
    }
    guard status == 0 else { throw refusal(source, target, log(program)) }
    let (size, fetch) =
      if case .assembly = target {
        (functions.assembly_size, functions.assembly)
      } else {
        (functions.machine_code_size, functions.machine_code)
      }
    var count = 0
    guard size(program, &count) == 0, count > 0 else {
      throw refusal(source, target, "the result has no size")
    }
    var bytes = [CChar](repeating: 0, count: count)
    guard fetch(program, &bytes) == 0 else {
      throw refusal(source, target, "the result could not be read")
    }
    return bytes.map(UInt8.init(bitPattern:))
  }

  private func withPointers<Result>(
    _ texts: [[CChar]], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
  ) -> Result {
    // One stretch of memory, so that all pointers into it live equally long.
    let flat = texts.flatMap { $0 }
    let starts = texts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count) }
    return flat.withUnsafeBufferPointer { flat in
      let pointers = starts.dropLast().map { start in flat.baseAddress.map { $0 + start } }
      return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
    }
  }

  private func log(_ program: qlora_cuda_handle) -> String {
    var count = 0
    guard functions.log_size(program, &count) == 0, count > 0 else { return "no log" }
    var text = [CChar](repeating: 0, count: count)
    guard functions.log(program, &text) == 0 else { return "no log" }
    return String(
      decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private func refusal(
    _ source: KernelSource, _ target: KernelTarget, _ log: String
  ) -> Diagnostic {
    Diagnostic(
      .kernelNotCompiled,
      "NVRTC \(version) does not compile the kernels \"\(source.name)\" for \(target):\n\(log)",
      remedy: "report it, or use device \"cpu\"")
  }
}
