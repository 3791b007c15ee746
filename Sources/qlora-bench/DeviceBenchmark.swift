// `qlora-bench device`: what a GPU's kernels reach of its own memory and matrix units.
import ArgumentParser
import QLoRACPU
import QLoRACUDA
import QLoRAPipeline
import QLoRATensor

struct DeviceBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "device",
    abstract: "Copy and decoding bandwidth, products and attention of the GPU, as JSON lines.")

  @Option(help: "Tokens of products and attention.")
  var tokens = 4096

  @Option(help: "Rounds of which the fastest counts.")
  var rounds = 5

  func run() throws {
    guard case .cuda(let device) = try ComputeDevice.choose("cuda") else { return }
    let timer = DeviceTimer(
      backend: try CUDABackend(device, host: CPUBackend(), cache: ComputeDevice.kernelCache),
      rounds: rounds)
    printLine("{\"device\": \"\(timer.backend.name)\", \"memoryBytes\": \(device.memoryBytes)}")
    try timer.memory()
    try timer.products(tokens: tokens)
    timer.attention(tokens: tokens)
    try timer.backend.checkHealth()
  }
}

private struct DeviceTimer {
  let backend: CUDABackend
  let rounds: Int

  func seconds(_ body: () -> Void) -> Double {
    EnqueuedCalls(backend, rounds: rounds).seconds(body)
  }

  private func show(_ operation: String, _ seconds: Double, _ fields: String) {
    printLine("{\"operation\": \"\(operation)\", \"seconds\": \(seconds), \(fields)}")
  }

  private func bandwidth(_ operation: String, bytes: Int, _ body: () -> Void) {
    let seconds = seconds(body)
    show(
      operation, seconds,
      "\"bytes\": \(bytes), \"gigabytesPerSecond\": \(rounded(Double(bytes) / seconds / 1e9))")
  }

  private func rate(_ operation: String, operations: Double, _ body: () -> Void) {
    let seconds = seconds(body)
    show(
      operation, seconds,
      "\"operations\": \(operations), "
        + "\"teraflops\": \(rounded(operations / seconds / 1e12))")
  }

  /// Bytes read and written by copies, and by decoding a matrix of Llama 8B.
  func memory() throws {
    let count = 256 << 20
    for dtype in [DType.float32, .bfloat16] {
      let (from, to) = (
        backend.allocate([count], dtype), backend.allocate([count], dtype))
      bandwidth("copy \(dtype.rawValue)", bytes: 2 * from.byteCount) {
        backend.convert(from, into: to)
      }
    }
    for (rows, columns) in [(4096, 4096), (14_336, 4096), (4096, 14_336)] {
      let weight = try weight(rows, columns)
      let decoded = backend.allocate([rows, columns], .bfloat16)
      bandwidth(
        "decode nf4 \(rows)x\(columns)", bytes: weight.byteCount + decoded.byteCount
      ) { backend.decode(weight, rows: 0..<rows, into: decoded) }
    }
  }

  func products(tokens: Int) throws {
    for (rows, columns) in [(4096, 4096), (14_336, 4096), (4096, 14_336)] {
      let weight = try weight(rows, columns)
      let input = zeros([tokens, columns], .bfloat16)
      let adapter = AdapterTerm(
        a: zeros([16, columns]), b: zeros([rows, 16]), scale: 1,
        projected: backend.allocate([tokens, 16], .float32))
      let output = backend.allocate([tokens, rows], .bfloat16)
      let operations = 2 * Double(tokens) * Double(rows * columns)
      rate("linear \(rows)x\(columns), \(tokens) tokens", operations: operations) {
        backend.linear(input, [LinearTerm(weight: weight, adapter: adapter, output: output)])
      }
      let term = LinearGradientTerm(
        weight: weight, adapter: adapter, aGradient: zeros([16, columns]),
        bGradient: zeros([rows, 16]), outputGradient: zeros([tokens, rows]))
      let gradient = backend.allocate([tokens, columns], .float32)
      rate("linear backward \(rows)x\(columns), \(tokens) tokens", operations: operations) {
        backend.linearBackward(
          [term], input: input, inputGradient: gradient, accumulating: false)
      }
      let row = zeros([1, columns], .bfloat16)
      let one = backend.allocate([1, rows], .bfloat16)
      bandwidth("linear \(rows)x\(columns), 1 token", bytes: weight.byteCount) {
        backend.linear(row, [LinearTerm(weight: weight, output: one)])
      }
    }
  }

  /// Llama 8B's heads, one sequence; half of all pairs.
  func attention(tokens: Int) {
    let layout = AttentionLayout(heads: 32, kvHeads: 8, headSize: 128, scale: 0.088)
    let (wide, narrow): (Shape, Shape) = ([tokens, 4096], [tokens, 1024])
    let (query, key) = (zeros(wide, .bfloat16), zeros(narrow, .bfloat16))
    let output = backend.allocate(wide, .bfloat16)
    let logSumExp = backend.allocate([32, tokens], .float32)
    let pairs = Double(tokens) * Double(tokens + 1) / 2
    let product = 2 * pairs * Double(layout.heads * layout.headSize)
    rate("attention, \(tokens) tokens", operations: 2 * product) {
      backend.attention(
        query: query, key: key, value: key, layout: layout, bounds: [0, tokens], into: output,
        logSumExp: logSumExp)
    }
    let gradients = [wide, narrow, narrow].map { backend.allocate($0, .float32) }
    let gradient = zeros(wide)
    // Five products are needed; two passes of their own compute seven.
    rate("attention backward, \(tokens) tokens", operations: 5 * product) {
      backend.attentionBackward(
        gradient, query: query, key: key, value: key, output: output, logSumExp: logSumExp,
        layout: layout, bounds: [0, tokens], queryGradient: gradients[0],
        keyGradient: gradients[1], valueGradient: gradients[2])
    }
  }

  private func zeros(_ shape: Shape, _ dtype: DType = .float32) -> Tensor {
    let tensor = backend.allocate(shape, dtype)
    tensor.zero()
    return tensor
  }

  private func weight(_ rows: Int, _ columns: Int) throws -> any PreparedWeight {
    let builder = try backend.makeWeightBuilder(
      outFeatures: rows, inFeatures: columns, .fourBit(QuantizationSpec()))
    try builder.fill { range, values in
      for index in range { values[index - range.lowerBound] = Float(index % 97) / 97 - 0.5 }
    }
    return try builder.finish()
  }
}
