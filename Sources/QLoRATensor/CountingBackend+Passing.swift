// What a counting backend only passes on.

extension CountingBackend {
  package var name: String { inner.name }

  package func allocate(_ shape: Shape, _ dtype: DType) -> Tensor { inner.allocate(shape, dtype) }

  package func synchronize() { inner.synchronize() }

  package func setAside(_ tensor: Tensor) { inner.setAside(tensor) }

  package func checkHealth() throws { try inner.checkHealth() }

  package func makeWeightBuilder(
    outFeatures: Int, inFeatures: Int, _ storage: WeightStorage
  ) throws -> any WeightBuilder {
    try inner.makeWeightBuilder(outFeatures: outFeatures, inFeatures: inFeatures, storage)
  }

  package func prepare(_ matrix: QuantizedMatrix) throws -> any PreparedWeight {
    try inner.prepare(matrix)
  }

  package func prepare(_ matrix: Int8Matrix, _ spec: Int8Spec) throws -> any PreparedWeight {
    try inner.prepare(matrix, spec)
  }

  package func int8Matrix(_ weight: any PreparedWeight) -> Int8Matrix? { inner.int8Matrix(weight) }

  package func quantizedMatrix(
    _ weight: any PreparedWeight, sourceDType: DType
  ) -> QuantizedMatrix? {
    inner.quantizedMatrix(weight, sourceDType: sourceDType)
  }

  package func decode(_ weight: any PreparedWeight, rows: Range<Int>, into output: Tensor) {
    inner.decode(weight, rows: rows, into: output)
  }

  package func embedding(_ tokens: [Int32], _ table: any PreparedWeight, into output: Tensor) {
    inner.embedding(tokens, table, into: output)
  }

  package func rmsNorm(
    _ input: Tensor, weight: Tensor, epsilon: Float, into output: Tensor, inverseRMS: Tensor
  ) {
    inner.rmsNorm(input, weight: weight, epsilon: epsilon, into: output, inverseRMS: inverseRMS)
  }

  package func rmsNormBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inverseRMS: Tensor,
    inputGradient: Tensor, accumulating: Bool
  ) {
    inner.rmsNormBackward(
      outputGradient, input: input, weight: weight, inverseRMS: inverseRMS,
      inputGradient: inputGradient, accumulating: accumulating)
  }

  package func layerNorm(
    _ input: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into output: Tensor,
    statistics: Tensor
  ) {
    inner.layerNorm(
      input, weight: weight, bias: bias, epsilon: epsilon, into: output, statistics: statistics)
  }

  package func layerNormBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, statistics: Tensor,
    inputGradient: Tensor, accumulating: Bool
  ) {
    inner.layerNormBackward(
      outputGradient, input: input, weight: weight, statistics: statistics,
      inputGradient: inputGradient, accumulating: accumulating)
  }

  package func rotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    inner.rotary(
      tensor, headSize: headSize, positions: positions, cosines: cosines, sines: sines,
      inverse: inverse)
  }

  package func siluMultiply(_ gate: Tensor, _ up: Tensor, into output: Tensor) {
    inner.siluMultiply(gate, up, into: output)
  }

  package func siluMultiplyBackward(
    _ outputGradient: Tensor, gate: Tensor, up: Tensor, gateGradient: Tensor, upGradient: Tensor
  ) {
    inner.siluMultiplyBackward(
      outputGradient, gate: gate, up: up, gateGradient: gateGradient, upGradient: upGradient)
  }

  package func geluMultiply(
    _ gate: Tensor, _ up: Tensor?, _ activation: Activation, into output: Tensor
  ) {
    inner.geluMultiply(gate, up, activation, into: output)
  }

  package func geluMultiplyBackward(
    _ outputGradient: Tensor, gate: Tensor, up: Tensor?, _ activation: Activation,
    gateGradient: Tensor, upGradient: Tensor?
  ) {
    inner.geluMultiplyBackward(
      outputGradient, gate: gate, up: up, activation, gateGradient: gateGradient,
      upGradient: upGradient)
  }

  package func split(_ input: Tensor, widths: [Int], into outputs: [Tensor]) {
    inner.split(input, widths: widths, into: outputs)
  }

  package func join(_ inputs: [Tensor], widths: [Int], into output: Tensor) {
    inner.join(inputs, widths: widths, into: output)
  }

  package func likeliest(_ values: Tensor) -> Int32 { inner.likeliest(values) }

  package func cap(_ tensor: Tensor, at cap: Float) { inner.cap(tensor, at: cap) }

  package func add(_ left: Tensor, _ right: Tensor, into output: Tensor) {
    inner.add(left, right, into: output)
  }

  package func clear(_ tensor: Tensor) { inner.clear(tensor) }

  package func convert(_ input: Tensor, into output: Tensor) { inner.convert(input, into: output) }

  package func adamW(_ updates: [ParameterUpdate], _ step: AdamWStep) {
    inner.adamW(updates, step)
  }

  package func lion(_ updates: [ParameterUpdate], _ step: LionStep) { inner.lion(updates, step) }

  package func sgd(_ updates: [ParameterUpdate], _ step: SGDStep) { inner.sgd(updates, step) }

  package func sumOfSquares(_ tensor: Tensor) -> Double { inner.sumOfSquares(tensor) }

  package func sumsOfSquares(_ tensors: [Tensor]) -> [Double] { inner.sumsOfSquares(tensors) }

  package func scale(_ tensor: Tensor, by factor: Float) { inner.scale(tensor, by: factor) }

  package func scale(_ tensors: [Tensor], by factor: Float) { inner.scale(tensors, by: factor) }

  package func clear(_ tensors: [Tensor]) { inner.clear(tensors) }
}
