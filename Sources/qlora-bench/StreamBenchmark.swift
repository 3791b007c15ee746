// One token through more weights than the caches hold, beside plain reading of as much memory.
import ProductCases
import QLoRACPU
import QLoRATensor

struct StreamBenchmark {
  let backend: CPUBackend
  let timer: AlternatingTimer
  let megabytes: Int

  /// `shareOfBandwidth` is the middle of the passes, each over all weights and beside a pass that
  /// only reads.
  func record(_ outFeatures: Int, _ inFeatures: Int) throws -> ProductBenchmark.Record {
    var weights = [try backend.rampWeight(outFeatures, inFeatures)]
    let count = max(1, (megabytes << 20) / weights[0].byteCount)
    for _ in 1..<max(2, count) { weights.append(try backend.rampWeight(outFeatures, inFeatures)) }
    let bytes = Double(weights.reduce(0) { $0 + $1.byteCount })
    let memory = Storage(byteCount: megabytes << 20)
    memory.baseAddress.initializeMemory(as: UInt8.self, repeating: 1, count: memory.byteCount)
    let input = backend.seededTensor([1, inFeatures], seed: 3)
    let output = Tensor(zeros: [1, outFeatures])
    var (products, readings, shares) = ([Double](), [Double](), [Double]())
    var check: UInt32 = 0
    for _ in 0..<max(3, timer.rounds / 3) {
      let product = timer.seconds {
        for weight in weights {
          backend.linear(input, [LinearTerm(weight: weight, output: output)])
        }
      }
      let reading = timer.seconds { check &+= backend.read(memory) }
      products.append(bytes / product)
      readings.append(Double(memory.byteCount) / reading)
      shares.append((products.last ?? 0) / (readings.last ?? 1))
    }
    return [
      ("operation", "\"linearStreamed\""), ("tokens", "1"), ("outFeatures", "\(outFeatures)"),
      ("inFeatures", "\(inFeatures)"), ("matrices", "\(weights.count)"),
      ("secondsPerMatrix", "\(bytes / (products.max() ?? 1) / Double(weights.count))"),
      ("gigabytesPerSecond", "\(rounded((products.max() ?? 0) / 1e9))"),
      ("readGigabytesPerSecond", "\(rounded((readings.max() ?? 0) / 1e9))"),
      ("shareOfBandwidth", "\(rounded(median(shares)))"), ("check", "\(check)"),
    ]
  }
}
