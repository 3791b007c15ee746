// What a device must be able to do. Operations are coarse; outputs are passed `into:`; calls are
// enqueued in order and `synchronize()` waits. Activations are `float32` or `bfloat16` tensors
// (sums are always float32); gradients of activations and parameters are `float32`.

/// A weight in a layout of its backend's own: quantized or dense, ready for products.
package protocol PreparedWeight: AnyObject, Sendable {
  var outFeatures: Int { get }
  var inFeatures: Int { get }
  /// Bytes that this weight holds in device memory.
  var byteCount: Int { get }
  /// The 4-bit specification; nil for any other weight.
  var spec: QuantizationSpec? { get }
}

/// How a weight is to be kept.
package enum WeightStorage: Sendable, Hashable {
  case fourBit(QuantizationSpec)
  case int8(Int8Spec)
  /// `float32`, `bfloat16` or `float16`.
  case dense(DType)
}

/// Gives elements `range` of a flattened weight; called from several threads.
package typealias ElementReader = (
  _ range: Range<Int>, _ destination: UnsafeMutableBufferPointer<Float>
) throws -> Void

/// Takes a weight in flattened pieces or by ranges of its own choice, so that no whole fp32 copy
/// ever exists.
package protocol WeightBuilder: AnyObject {
  /// The next elements of the row-major matrix; a piece may end anywhere.
  /// - Throws: a diagnostic for a NaN or an infinity, with its flat index.
  func append(_ values: UnsafeBufferPointer<Float>) throws
  /// The whole matrix at once, read in disjoint ranges by the threads that prepare them.
  /// - Throws: as `append`, and what `read` throws; of several failures the earliest element's.
  func fill(_ read: ElementReader) throws
  /// - Throws: where fewer elements came than the shape has.
  func finish() throws -> any PreparedWeight
}

/// The low-rank branch `scale · (dropout(x)·Aᵀ)·Bᵀ` of a product.
/// Source: Hu et al. 2021, "LoRA", arXiv:2106.09685, section 4.1.
package struct AdapterTerm: Sendable {
  /// `[rank, in]` float32.
  package var a: Tensor
  /// `[out, rank]` float32.
  package var b: Tensor
  package var scale: Float
  /// nil = no dropout.
  package var dropout: DropoutMask?
  /// `[tokens, rank]` float32: written by forward (`dropout(x)·Aᵀ`), read by backward.
  package var projected: Tensor

  package init(
    a: Tensor, b: Tensor, scale: Float, dropout: DropoutMask? = nil, projected: Tensor
  ) {
    self.a = a
    self.b = b
    self.scale = scale
    self.dropout = dropout
    self.projected = projected
  }
}

/// A counter-based mask: element `i` of the input is kept where
/// `philox(key, counter: (stream, i))` says so, and then scaled by `1 / (1 − rate)`. It is a pure
/// function of its fields, so a resumed or re-run forward meets the same mask.
package struct DropoutMask: Sendable, Hashable {
  package var rate: Float
  package var key: UInt64
  package var stream: UInt64

  package init(rate: Float, key: UInt64, stream: UInt64) {
    self.rate = rate
    self.key = key
    self.stream = stream
  }
}

/// One of several products that share an input: `output = x·Wᵀ + bias + adapter`.
package struct LinearTerm: Sendable {
  package var weight: any PreparedWeight
  /// `[out]` float32.
  package var bias: Tensor?
  package var adapter: AdapterTerm?
  /// `[tokens, out]`, float32 or of the input's type.
  package var output: Tensor
  /// Whether no backward pass follows: 8-bit weights are then multiplied in 8 bits.
  package var isInference: Bool

  package init(
    weight: any PreparedWeight, bias: Tensor? = nil, adapter: AdapterTerm? = nil, output: Tensor,
    isInference: Bool = false
  ) {
    self.weight = weight
    self.bias = bias
    self.adapter = adapter
    self.output = output
    self.isInference = isInference
  }
}

/// A linear as backward needs it: what it multiplied by, and what gradients are added to.
package struct BackwardLinear: Sendable {
  package var weight: any PreparedWeight
  package var adapter: AdapterTerm?
  /// `[rank, in]` and `[out, rank]` float32, added to; both nil without an adapter.
  package var aGradient: Tensor?
  package var bGradient: Tensor?

  package init(
    weight: any PreparedWeight, adapter: AdapterTerm? = nil, aGradient: Tensor? = nil,
    bGradient: Tensor? = nil
  ) {
    self.weight = weight
    self.adapter = adapter
    self.aGradient = aGradient
    self.bGradient = bGradient
  }
}

/// The gradient of one `LinearTerm`.
package struct LinearGradientTerm: Sendable {
  package var linear: BackwardLinear
  /// `[tokens, out]` float32.
  package var outputGradient: Tensor

  package init(_ linear: BackwardLinear, outputGradient: Tensor) {
    self.linear = linear
    self.outputGradient = outputGradient
  }

  package init(
    weight: any PreparedWeight, adapter: AdapterTerm? = nil, aGradient: Tensor? = nil,
    bGradient: Tensor? = nil, outputGradient: Tensor
  ) {
    self.init(
      BackwardLinear(
        weight: weight, adapter: adapter, aGradient: aGradient, bGradient: bGradient),
      outputGradient: outputGradient)
  }

  package var weight: any PreparedWeight { linear.weight }
  package var adapter: AdapterTerm? { linear.adapter }
  package var aGradient: Tensor? { linear.aGradient }
  package var bGradient: Tensor? { linear.bGradient }
}

package protocol Backend: OptimizerBackend, ImageBackend, ClassifierBackend, SequenceBackend {
  /// As `doctor` and benchmark records name it, such as `cpu (avx512)`.
  var name: String { get }

  // MARK: Memory
  /// Uninitialised memory from the backend's pool; it returns there with the last reference.
  func allocate(_ shape: Shape, _ dtype: DType) -> Tensor
  func synchronize()
  /// Says that nobody will ask for a value before backward, so that it may wait outside of the
  /// device's memory until then. It changes no bit.
  func setAside(_ tensor: Tensor)

  // MARK: Weights
  /// - Throws: for a block size or shape that the format does not have.
  func makeWeightBuilder(
    outFeatures: Int, inFeatures: Int, _ storage: WeightStorage
  ) throws -> any WeightBuilder
  /// A weight that is already in 4 bits.
  func prepare(_ matrix: QuantizedMatrix) throws -> any PreparedWeight
  /// A weight that is already in 8 bits.
  func prepare(_ matrix: Int8Matrix, _ spec: Int8Spec) throws -> any PreparedWeight
  /// The inverse of `prepare`: the weight in the layout of files. nil unless it is in 4 bits.
  func quantizedMatrix(_ weight: any PreparedWeight, sourceDType: DType) -> QuantizedMatrix?
  /// The same in 8 bits.
  func int8Matrix(_ weight: any PreparedWeight) -> Int8Matrix?
  /// Rows `rows` decoded into `[rows.count, in]` float32.
  func decode(_ weight: any PreparedWeight, rows: Range<Int>, into output: Tensor)

  // MARK: Products
  /// All terms read `input [tokens, in]`. In inference, what an 8-bit weight gives for a row
  /// depends on the other rows too: they share the columns that count as outliers.
  func linear(_ input: Tensor, _ terms: [LinearTerm])
  /// `inputGradient [tokens, in]` float32 = (+ itself where `accumulating`) Σ terms dY·W + adapter
  /// branch; adapter gradients are added to. `input` is what forward read.
  func linearBackward(
    _ terms: [LinearGradientTerm], input: Tensor, inputGradient: Tensor?, accumulating: Bool)
  /// The same for linears whose outputs only an activation reads, gate before up.
  /// `outputGradient [tokens, out]` float32 is the activation's: what it holds is lost, and its
  /// memory is free as soon as its last reader is enqueued.
  func activatedLinearBackward(
    _ outputGradient: consuming Tensor, _ activation: ActivationInputs,
    _ linears: [BackwardLinear], input: Tensor, inputGradient: Tensor?, accumulating: Bool)

  // MARK: Embedding and head
  /// `output[t] = table[tokens[t]]`.
  func embedding(_ tokens: [Int32], _ table: any PreparedWeight, into output: Tensor)
  /// Sum over `rows` of the cross entropy of `softmax(logits)` with `targets`, where
  /// `logits = hidden[row]·headᵀ`, capped as `AttentionLayout.softCap` where that is not 0; and,
  /// where wanted, its gradient by `hidden` (`[tokens, hidden]` float32; rows not named become
  /// zero).
  /// Chunked: logits of all rows never exist together. Returns the sum in double precision.
  func linearCrossEntropy(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight, softCap: Float,
    hiddenGradient: Tensor?
  ) -> Double
  /// Negative log-likelihood of each target and the most likely token, per named row.
  func scoreTokens(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight, softCap: Float
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32])
  /// The place of the largest of float32 `values`, the lowest of equals: all that generation needs
  /// of a row of logits where it always takes the likeliest token.
  func likeliest(_ values: Tensor) -> Int32
  /// `tensor = cap·tanh(tensor / cap)`, float32.
  func cap(_ tensor: Tensor, at cap: Float)

  // MARK: Rows and elements
  /// `output = x · rsqrt(mean(x²) + ε) · weight`; `inverseRMS [tokens]` float32 is kept for
  /// backward.
  /// Source: Zhang & Sennrich 2019, arXiv:1910.07467.
  func rmsNorm(
    _ input: Tensor, weight: Tensor, epsilon: Float, into output: Tensor, inverseRMS: Tensor)
  func rmsNormBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inverseRMS: Tensor,
    inputGradient: Tensor, accumulating: Bool)
  /// `output = (x − mean)·r·weight + bias` with `r = rsqrt(variance + ε)`; `statistics [tokens, 2]`
  /// float32 keeps mean and r for backward; `weight` and `bias` are float32.
  /// Source: Ba et al. 2016, arXiv:1607.06450.
  func layerNorm(
    _ input: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into output: Tensor,
    statistics: Tensor)
  func layerNormBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, statistics: Tensor,
    inputGradient: Tensor, accumulating: Bool)
  /// Rotates pairs (i, i + n) of the first 2n elements of every head of
  /// `tensor [tokens, heads·headSize]` in place by row `positions[t]` of
  /// `cosines`/`sines [positions, n]`; `inverse` turns back.
  /// Source: Su et al. 2021, arXiv:2104.09864, in the half-split form of GPT-NeoX.
  func rotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool)
  /// `output = silu(gate) · up`. Source: Shazeer 2020, arXiv:2002.05202.
  func siluMultiply(_ gate: Tensor, _ up: Tensor, into output: Tensor)
  /// All gradients float32; `gateGradient` may be `outputGradient`.
  func siluMultiplyBackward(
    _ outputGradient: Tensor, gate: Tensor, up: Tensor, gateGradient: Tensor, upGradient: Tensor)
  /// `output = gelu(gate) · up`, or `gelu(gate)` where `up` is nil; `activation` says which gelu.
  /// Source: Hendrycks & Gimpel 2016, arXiv:1606.08415; gated: Shazeer 2020, arXiv:2002.05202.
  func geluMultiply(_ gate: Tensor, _ up: Tensor?, _ activation: Activation, into output: Tensor)
  /// Gradients as for `siluMultiplyBackward`; `upGradient` is nil where `up` is.
  func geluMultiplyBackward(
    _ outputGradient: Tensor, gate: Tensor, up: Tensor?, _ activation: Activation,
    gateGradient: Tensor, upGradient: Tensor?)
  /// Copies columns: output `i` takes `widths[i]` elements of each row of `Σ widths`.
  func split(_ input: Tensor, widths: [Int], into outputs: [Tensor])
  /// The inverse of `split`, of float32.
  func join(_ inputs: [Tensor], widths: [Int], into output: Tensor)
  /// `output = left + right`; dtypes may differ, and `output` may be either of them.
  func add(_ left: Tensor, _ right: Tensor, into output: Tensor)
  /// Makes every element zero, whatever it was.
  func clear(_ tensor: Tensor)
  /// Element-wise copy between float32, float16 and bfloat16.
  func convert(_ input: Tensor, into output: Tensor)

  // MARK: Attention
  /// Attention, causal or of all rows, inside each sequence `bounds[i] ..< bounds[i+1]` of the
  /// packed rows.
  /// `query [tokens, heads·headSize]`, `key`/`value [tokens, kvHeads·headSize]`;
  /// `logSumExp [heads, tokens]` float32 is kept for backward.
  /// Source: Dao et al. 2022, "FlashAttention", arXiv:2205.14135.
  func attention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, bounds: [Int],
    into output: Tensor, logSumExp: Tensor)
  func attentionBackward(
    _ outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
    logSumExp: Tensor, layout: AttentionLayout, bounds: [Int], queryGradient: Tensor,
    keyGradient: Tensor, valueGradient: Tensor)
  /// `cache[first ..< first + rows] = rows`, of one type.
  func store(_ rows: Tensor, in cache: Tensor, at first: Int)
  /// Query rows attend to a cache of `keyCount` rows whose last rows are the queries' own.
  func cachedAttention(
    query: Tensor, keys: Tensor, values: Tensor, keyCount: Int, layout: AttentionLayout,
    into output: Tensor)

  // MARK: Experts
  /// The `chosen` most likely experts of each token by `softmax(logits [tokens, experts])`, best
  /// first, with their probabilities, which add up to 1 where `isNormalized`, in
  /// `weights [tokens, chosen]`, all float32. Returns the experts `[tokens, chosen]`.
  func route(
    _ logits: Tensor, chosen: Int, isNormalized: Bool, into weights: Tensor
  ) -> [Int32]
  func routeBackward(
    _ weightGradient: Tensor, logits: Tensor, experts: [Int32], weights: Tensor,
    isNormalized: Bool, logitGradient: Tensor)
  /// `output[i] = input[rows[i]]`.
  func gatherRows(_ input: Tensor, _ rows: [Int32], into output: Tensor)
  /// `output[t] = (+ itself where accumulating) Σ_c weights[t, c] · input[places[t, c]]`, with
  /// weights of 1 where nil; `output` is float32 where accumulating.
  func weightedRows(
    _ input: Tensor, places: [Int32], weights: Tensor?, into output: Tensor, accumulating: Bool)
  /// Gradients of `weightedRows` by its input, `[rows, width]`, and by the weights; float32.
  func weightedRowsBackward(
    _ outputGradient: Tensor, input: Tensor, places: [Int32], weights: Tensor,
    inputGradient: Tensor, weightGradient: Tensor)
}

extension Backend {
  /// What the host computes with is its own memory.
  package func setAside(_ tensor: Tensor) {}

  package func activatedLinearBackward(
    _ outputGradient: consuming Tensor, _ activation: ActivationInputs,
    _ linears: [BackwardLinear], input: Tensor, inputGradient: Tensor?, accumulating: Bool
  ) {
    let gradients = activationGradients(outputGradient, activation)
    linearBackward(
      zip(linears, gradients).map { LinearGradientTerm($0, outputGradient: $1) }, input: input,
      inputGradient: inputGradient, accumulating: accumulating)
  }

  package func clear(_ tensor: Tensor) { tensor.zero() }

  package func store(_ rows: Tensor, in cache: Tensor, at first: Int) {
    convert(rows, into: cache.rows(first..<first + rows.shape[0]))
  }

  package func likeliest(_ values: Tensor) -> Int32 {
    values.withElements(Float.self) { Int32($0.placeOfLargest) }
  }

  /// As above without a cap.
  package func linearCrossEntropy(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight,
    hiddenGradient: Tensor?
  ) -> Double {
    linearCrossEntropy(
      hidden, rows: rows, targets: targets, head: head, softCap: 0, hiddenGradient: hiddenGradient)
  }

  package func scoreTokens(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32]) {
    scoreTokens(hidden, rows: rows, targets: targets, head: head, softCap: 0)
  }
}

extension RandomAccessCollection<Float> where Index == Int {
  /// The place of the largest, the lowest of equals; the first place where there is nothing.
  package var placeOfLargest: Int {
    var place = startIndex
    for index in indices where self[index] > self[place] { place = index }
    return place
  }
}
