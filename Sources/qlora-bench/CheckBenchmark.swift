// `qlora-bench check`: whether this machine's GPU computes what the CPU does. No time is measured.
import ArgumentParser
import BackendCases
import QLoRACPU
import QLoRACUDA
import QLoRAPipeline
import QLoRATensor
import TinyModel

struct CheckBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Every operation on the GPU against the CPU, twice; ten steps against PyTorch's.",
    discussion: """
      One JSON object per line, whose place counts from 0; ends with code 1 where something is
      wrong, and with 75 where the GPU is lost: then a new process goes on after the last place.
      """)

  @Option(help: "The folder Tests/Goldens of the sources, for the ten steps.")
  var goldens: String?

  @Option(help: "The place of the first operation to check.")
  var first = 0

  func run() throws {
    guard case .cuda(let device) = try ComputeDevice.choose("cuda") else { return }
    let reference = try CPUBackend(instructionSet: "reference")
    let backend = try CUDABackend(device, host: reference, cache: ComputeDevice.kernelCache)
    var failures = 0
    for (place, example) in BackendCase.all.enumerated().dropFirst(first) {
      // Said before, so that one that hangs is known.
      show("begins", "\"place\": \(place), \"case\": \"\(example)\"")
      failures += try check(example, at: place, backend, reference) ? 0 : 1
    }
    show(
      "operations",
      "\"cases\": \(BackendCase.all.count), \"first\": \(first), \"failures\": \(failures), "
        + "\"plainProducts\": \(backend.plainProducts)")
    if let goldens {
      for base in GoldenBase.allCases {
        for dtype in [DType.float32, .bfloat16] {
          let first = try losses(backend, goldens, base, dtype)
          let isSame = try losses(backend, goldens, base, dtype) == first
          let golden = try TinyLlama(base, on: reference, goldensIn: goldens).floats("losses")
          let apart = zip(first, golden).map { abs($0 - Double($1)) / Double($1) }.max() ?? 1
          // fp32 within 1e-3 and bf16 within 1 %, of which a single step needs little.
          let isNear = apart <= (dtype == .float32 ? 1e-3 : 1e-2)
          failures += isSame && isNear ? 0 : 1
          show(
            "ten steps",
            "\"base\": \"\(base.rawValue)\", \"computeDType\": \"\(dtype.rawValue)\", "
              + "\"largestRelativeDifference\": \(apart), \"sameBitsTwice\": \(isSame)")
        }
      }
    }
    if failures > 0 { throw ExitCode(1) }
  }

  private func show(_ what: String, _ fields: String) {
    printLine("{\"check\": \"\(what)\", \(fields)}")
  }

  /// Compares, and runs the case once more for the same bits.
  /// - Throws: `ExitCode(75)` where the device has failed, which no process gets over.
  private func check(
    _ example: BackendCase, at place: Int, _ backend: CUDABackend, _ reference: CPUBackend
  ) throws -> Bool {
    do {
      let outcome = try example.compare(backend, with: reference)
      let runs = try (0..<2).map { _ in
        try example.run(backend).map { tensor in tensor.withBytes { Array($0) } }
      }
      try backend.checkHealth()
      let isSame = runs[0] == runs[1]
      show(
        outcome.isWithin && isSame ? "right" : "wrong",
        "\"place\": \(place), \"case\": \"\(example)\", "
          + "\"difference\": \"\(outcome.difference)\", "
          + "\"tolerance\": \(example.tolerance), \"sameBitsTwice\": \(isSame)")
      return outcome.isWithin && isSame
    } catch {
      // As one line of JSON holds it.
      let words = String("\(error)".map { $0 == "\"" ? "'" : $0.isNewline ? " " : $0 })
      show(
        "failed",
        "\"place\": \(place), \"case\": \"\(example)\", \"failure\": \"\(words)\"")
      if backend.device.failure != nil { throw ExitCode(75) }
      return false
    }
  }

  private func losses(
    _ backend: CUDABackend, _ goldens: String, _ base: GoldenBase, _ dtype: DType
  ) throws -> [Double] {
    let tiny = try TinyLlama(base, on: backend, computeDType: dtype, goldensIn: goldens)
    var optimizer = PlainAdamW(tiny.model.parameters)
    return try (0..<10).map { step in
      let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: UInt64(step))
      _ = optimizer.update(backend, count: tiny.batch.rows.count, step: step + 1)
      try backend.checkHealth()
      return sum / Double(tiny.batch.rows.count)
    }
  }
}
