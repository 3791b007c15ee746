// `qlora-bench kernels`: products against this CPU's arithmetic peak and against OpenBLAS.
import ArgumentParser
import COpenBLAS
import CQLoRAKernels
import QLoRACPU
import QLoRATensor

/// One line of output.
private struct ProductRecord {
  let operation: String
  let tokens: Int
  let outFeatures: Int
  let inFeatures: Int
  let fusedSeconds: Double
  let openBLASSeconds: Double?
  /// As above with threads of OpenBLAS's own.
  let threadedSeconds: Double?
  /// The same products in 16-bit integers, where this CPU has them.
  let int16Seconds: Double?
  let peak: Double

  var operations: Double { 2 * Double(tokens) * Double(outFeatures) * Double(inFeatures) }

  var json: String {
    var fields = [
      "\"operation\": \"\(operation)\"", "\"tokens\": \(tokens)",
      "\"outFeatures\": \(outFeatures)", "\"inFeatures\": \(inFeatures)",
      "\"seconds\": \(fusedSeconds)",
      "\"gigaflops\": \(rounded(operations / fusedSeconds / 1e9))",
      "\"shareOfPeak\": \(rounded(operations / fusedSeconds / peak))",
    ]
    if let openBLASSeconds {
      fields.append("\"openBLASShareOfPeak\": \(rounded(operations / openBLASSeconds / peak))")
      fields.append("\"openBLASOverFused\": \(rounded(openBLASSeconds / fusedSeconds))")
    }
    if let threadedSeconds {
      fields.append("\"openBLASThreadsOverFused\": \(rounded(threadedSeconds / fusedSeconds))")
    }
    if let int16Seconds {
      fields.append("\"fusedOverInt16\": \(rounded(fusedSeconds / int16Seconds))")
    }
    return "{" + fields.joined(separator: ", ") + "}"
  }
}

private func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

struct KernelBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Shares of the arithmetic peak per shape, fused kernels and OpenBLAS in one process.")

  @Option(help: "Threads; 0 means all cores.")
  var threads = 0

  @Option(help: "Rounds per shape; the fastest one counts.")
  var rounds = 15

  @Option(help: "Tokens, separated by commas.")
  var tokens = "512,128,32,1"

  @Option(help: "Shapes out×in such as 1536x576, separated by commas.")
  var shapes = "1536x576,576x1536,4096x4096"

  func run() throws {
    let fused = try CPUBackend(threads: threads, product: .fused)
    let openBLAS = try CPUBackend(threads: threads, product: .openBLAS)
    let int16 = try? CPUBackend(threads: threads, product: .int16)
    let peak = fused.measuredPeak(rounds: rounds)
    print(
      """
      {"operation": "peak", "backend": "\(fused.name)", \
      "threads": \(fused.threadPool.threads), "gigaflops": \(rounded(peak / 1e9))}
      """)
    for shape in shapes.split(separator: ",") {
      let sides = shape.split(separator: "x").compactMap { Int($0) }
      guard sides.count == 2 else { throw ValidationError("\"\(shape)\" is not like 1536x576") }
      for count in tokens.split(separator: ",").compactMap({ Int($0) }) {
        for record in try measure(fused, openBLAS, int16, count, sides[0], sides[1], peak) {
          print(record.json)
        }
      }
    }
  }

  private func measure(
    _ fused: CPUBackend, _ openBLAS: CPUBackend, _ int16: CPUBackend?, _ tokens: Int,
    _ outFeatures: Int, _ inFeatures: Int, _ peak: Double
  ) throws -> [ProductRecord] {
    let weight = try ramp(fused, outFeatures, inFeatures)
    let input = Tensor(zeros: [tokens, inFeatures])
    input.withMutableElements(Float.self) { values in
      for index in values.indices { values[index] = Float(index % 17) / 17 - 0.5 }
    }
    let output = Tensor(zeros: [tokens, outFeatures])
    let term = LinearTerm(weight: weight, output: output)
    let decoded = Tensor(uninitialized: [outFeatures, inFeatures], .float32)
    let seconds = fastest([
      { fused.linear(input, [term]) },
      { openBLAS.linear(input, [term]) },
      { multiplyThreaded(fused, weight, input, decoded, output) },
      { int16?.linear(input, [term]) },
    ])
    let gradient = LinearGradientTerm(weight: weight, outputGradient: output)
    let inputGradient = Tensor(zeros: [tokens, inFeatures])
    let backward = fastest([fused, int16].map { backend in
      {
        backend?.linearBackward(
          [gradient], input: input, inputGradient: inputGradient, accumulating: false)
      }
    })
    func record(_ operation: String, _ openBLAS: ArraySlice<Double>, _ own: [Double])
      -> ProductRecord
    {
      ProductRecord(
        operation: operation, tokens: tokens, outFeatures: outFeatures, inFeatures: inFeatures,
        fusedSeconds: own[0], openBLASSeconds: openBLAS.first,
        threadedSeconds: openBLAS.dropFirst().first, int16Seconds: int16 == nil ? nil : own[1],
        peak: peak)
    }
    return [
      record("linear", seconds[1...2], [seconds[0], seconds[3]]),
      record("linearBackward", [], backward),
    ]
  }

  /// The other way to use OpenBLAS: our threads decode the whole weight, then OpenBLAS's own
  /// threads multiply.
  private func multiplyThreaded(
    _ backend: CPUBackend, _ weight: any PreparedWeight, _ input: Tensor, _ decoded: Tensor,
    _ output: Tensor
  ) {
    backend.decode(weight, rows: 0..<weight.outFeatures, into: decoded)
    openblas_set_num_threads(Int32(backend.threadPool.threads))
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, Int32(input.shape[0]), Int32(weight.outFeatures),
      Int32(weight.inFeatures), 1, input.pointer(Float.self), Int32(weight.inFeatures),
      decoded.pointer(Float.self), Int32(weight.inFeatures), 0, output.pointer(Float.self),
      Int32(weight.outFeatures))
    openblas_set_num_threads(1)
  }

  private func ramp(
    _ backend: CPUBackend, _ outFeatures: Int, _ inFeatures: Int
  ) throws -> any PreparedWeight {
    let builder = try backend.makeWeightBuilder(
      outFeatures: outFeatures, inFeatures: inFeatures, .fourBit(QuantizationSpec()))
    let row = (0..<inFeatures).map { Float($0 % 23) / 23 - 0.5 }
    for _ in 0..<outFeatures { try row.withUnsafeBufferPointer { try builder.append($0) } }
    return try builder.finish()
  }

  /// The fastest of `rounds` runs of each, taking turns so that both meet the same disturbances.
  private func fastest(_ bodies: [() -> Void]) -> [Double] {
    let clock = ContinuousClock()
    var best = [Double](repeating: .infinity, count: bodies.count)
    for round in 0...rounds {
      for (index, body) in bodies.enumerated() {
        let duration = clock.measure(body).components
        let seconds = Double(duration.seconds) + Double(duration.attoseconds) * 1e-18
        // The first round warms caches and pools.
        if round > 0 { best[index] = min(best[index], seconds) }
      }
    }
    return best
  }
}
