// `qlora-bench quantize`: weights in memory to 4 bits, as `bitsandbytes.functional.quantize_4bit`
// does it, without files.
import ArgumentParser
import QLoRACPU
import QLoRATensor

struct QuantizeBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize", abstract: "Weights per second from fp32 in memory to 4 bits.")

  @Option(help: "Rows of the weight.")
  var rows = 4096

  @Option(help: "Columns of the weight.")
  var columns = 4096

  @Option(help: "nf4 or fp4; doubly quantized, in blocks of 64.")
  var type = "nf4"

  @Option(help: "Threads; 0 means all cores.")
  var threads = 0

  @Option(help: "Rounds; the fastest one counts.")
  var rounds = 10

  func validate() throws {
    guard FourBitType(rawValue: type) != nil else { throw ValidationError("--type is nf4 or fp4") }
    guard min(rows, columns, rounds) > 0 else { throw ValidationError("sizes must be positive") }
  }

  func run() throws {
    let backend = try CPUBackend(threads: threads)
    let spec = QuantizationSpec(type: FourBitType(rawValue: type) ?? .nf4)
    // Any spread of values costs the same: nothing in the encoder branches on them.
    let values = (0..<rows * columns).map { Float($0 &* 7919 % 20_011) * 1e-5 - 0.1 }
    let clock = ContinuousClock()
    var best = Double.infinity
    for _ in 0..<rounds {
      let start = clock.now
      let builder = try backend.makeWeightBuilder(
        outFeatures: rows, inFeatures: columns, .fourBit(spec))
      try builder.fill { range, destination in
        _ = destination.update(fromContentsOf: values[range])
      }
      _ = try builder.finish()
      let elapsed = (clock.now - start).components
      best = min(best, Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18)
    }
    print(
      "{\"device\": \"\(backend.name), \(backend.threadPool.threads) threads\", "
        + "\"type\": \"\(type)\", \"rows\": \(rows), \"columns\": \(columns), "
        + "\"seconds\": \(best), \"weightsPerSecond\": \(Double(values.count) / best)}")
  }
}
