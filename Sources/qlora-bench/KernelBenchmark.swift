// `qlora-bench kernels`: products against this CPU's arithmetic peak, against OpenBLAS, and with an
// adapter; one token's products against the memory's bandwidth.
import ArgumentParser
import COpenBLAS
import ProductCases
import QLoRACPU
import QLoRATensor

struct KernelBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Shares of the arithmetic peak per shape, fused kernels and OpenBLAS in one process.",
    discussion: """
      OPENBLAS_CORETYPE, such as SkylakeX, makes OpenBLAS use the kernels of a processor that it \
      does not recognise; every record names what it used.
      """)

  @Option(help: "Threads; 0 means all cores.")
  var threads = 0

  @Option(help: "Rounds per shape; the middle one counts, against the peak beside it.")
  var rounds = 15

  @Option(help: "Tokens, separated by commas.")
  var tokens = ProductCase.tokenCounts.map(String.init).joined(separator: ",")

  @Option(help: "Shapes out×in, separated by commas.")
  var shapes = ProductCase.shapes.map { "\($0.0)x\($0.1)" }.joined(separator: ",")

  @Option(help: "Rank of the adapter.")
  var rank = 16

  @Option(help: "Megabytes of weights that generation turns over: more than the caches hold.")
  var streamed = 640

  @Flag(help: "Counts the processor's time instead of the clock's, for a machine in use.")
  var processorTime = false

  func run() throws {
    let fused = try CPUBackend(threads: threads, product: .fused)
    let openBLAS = try CPUBackend(threads: threads, product: .openBLAS)
    let int16 = try? CPUBackend(threads: threads, product: .int16)
    let timer = AlternatingTimer(
      backend: fused, rounds: rounds, countsProcessorTime: processorTime)
    let peaks = (0..<rounds).map { _ in timer.peak() }
    let matrixPeaks = (0..<rounds).compactMap { _ in timer.matrixPeak() }
    show([
      ("operation", "\"peak\""), ("backend", "\"\(fused.name)\""),
      ("threads", "\(fused.threadPool.threads)"),
      ("gigaflops", "\(rounded((peaks.max() ?? 0) / 1e9))"),
      ("matrixGigaflops", "\(rounded((matrixPeaks.max() ?? 0) / 1e9))"),
      ("openBLASCore", "\"\(String(cString: openblas_get_corename()))\""),
    ])
    for shape in shapes.split(separator: ",") {
      let sides = shape.split(separator: "x").compactMap { Int($0) }
      guard sides.count == 2 else { throw ValidationError("\"\(shape)\" is not like 1536x576") }
      let counts = tokens.split(separator: ",").compactMap { Int($0) }
      for count in counts {
        let benchmark = try ProductBenchmark(
          fused: fused, openBLAS: openBLAS, int16: int16, timer: timer,
          of: ProductCase(tokens: count, sides[0], sides[1]), rank: rank)
        for record in benchmark.records() { show(record) }
      }
      if counts.contains(1) {
        show(
          try StreamBenchmark(backend: fused, timer: timer, megabytes: streamed)
            .record(sides[0], sides[1]))
      }
    }
  }

  private func show(_ fields: [(name: String, value: String)]) {
    print("{" + fields.map { "\"\($0.name)\": \($0.value)" }.joined(separator: ", ") + "}")
  }
}
