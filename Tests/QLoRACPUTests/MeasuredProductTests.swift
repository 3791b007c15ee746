// The products that `qlora-bench kernels` times, in full size, against fp64 at sampled places.
import ProductCases
import QLoRATensor
import Testing

import QLoRACPU

struct MeasuredProductTests {
  /// Vector sets; the scalar reference is compared with them at small sizes.
  static let sets = CPUBackend.instructionSets.filter { $0 != "reference" }

  /// Both directions; every 37th token and 131st result, first and last included.
  @Test(arguments: sets, ProductCase.shapes.map { ProductCase(tokens: 512, $0.0, $0.1) })
  func matchFloat64(set: String, largest: ProductCase) throws {
    let backend = try CPUBackend(threads: 2, product: .fused, instructionSet: set)
    let (outFeatures, inFeatures) = (largest.outFeatures, largest.inFeatures)
    let (weight, values) = try backend.seededWeight(
      outFeatures, inFeatures, .fourBit(QuantizationSpec()))
    for tokens in ProductCase.tokenCounts {
      let input = backend.seededTensor([tokens, inFeatures], seed: 3)
      let gradient = backend.seededTensor([tokens, outFeatures], seed: 9)
      let output = Tensor(zeros: gradient.shape)
      let inputGradient = Tensor(zeros: input.shape)
      backend.linear(input, [LinearTerm(weight: weight, output: output)])
      backend.linearBackward(
        [LinearGradientTerm(weight: weight, outputGradient: gradient)], input: input,
        inputGradient: inputGradient, accumulating: false)
      for token in sample(tokens, step: 37) {
        for row in sample(outFeatures, step: 131) {
          let terms = (0..<inFeatures).lazy.map {
            Double(input[flat: token * inFeatures + $0]) * Double(values[row * inFeatures + $0])
          }
          expectNear(output[flat: token * outFeatures + row], terms)
        }
        for column in sample(inFeatures, step: 131) {
          let terms = (0..<outFeatures).lazy.map {
            Double(gradient[flat: token * outFeatures + $0])
              * Double(values[$0 * inFeatures + column])
          }
          expectNear(inputGradient[flat: token * inFeatures + column], terms)
        }
      }
    }
  }

  private func sample(_ count: Int, step: Int) -> [Int] {
    Array(stride(from: 0, to: count, by: step)) + [count - 1]
  }

  /// Rounding errors of one chain of sums grow as the root of its length; 8 of those are allowed.
  private func expectNear(_ found: Float, _ terms: some Collection<Double>) {
    let norm = terms.reduce(0) { $0 + $1 * $1 }.squareRoot()
    let bound = 8 * Double(Float.ulpOfOne) * Double(terms.count).squareRoot() * norm
    #expect(abs(Double(found) - terms.reduce(0, +)) <= bound)
  }
}
