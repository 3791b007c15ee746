// Predictions, losses and every gradient of image models against torch, diffusers and PEFT.
import QLoRAImage
import QLoRATensor
import TestSupport
import Testing
import TinyModel

@Suite struct ImageGoldenTests {
  @Test(arguments: TinyImageFamily.allCases, ImageBase.allCases)
  func predictions(_ family: TinyImageFamily, _ base: ImageBase) throws {
    let tiny = try TinyImageModel(family, base)
    // Where nothing is recorded, weights of 8 bits are multiplied by activations of 8 bits.
    let tape = Tape(backend: tiny.model.backend, isRecording: base == .int8)
    let rows = tiny.model.velocity(try tiny.step().input, on: tape).value.floats()
    let expected = try tiny.expected("prediction")
    let worst = largestDifference(try tiny.arranged(rows, family), expected)
    #expect(worst <= 1e-4, "largest difference \(worst)")
  }

  @Test(arguments: TinyImageFamily.allCases, ImageBase.allCases)
  func everyGradientByName(_ family: TinyImageFamily, _ base: ImageBase) throws {
    let tiny = try TinyImageModel(family, base)
    try tiny.addAdapter()
    let step = try tiny.step()
    let tape = Tape(backend: tiny.model.backend)
    let sum = tape.squaredError(
      tiny.model.velocity(step.input, on: tape), target: step.target, weights: step.weights,
      bounds: step.input.imageBounds)
    tape.runBackward()
    let loss = Double(try tiny.expected("loss")[0])
    #expect(abs(sum - loss) / loss <= 1e-5)
    #expect(tiny.model.parameters.count > 60)
    for parameter in tiny.model.parameters {
      let name = parameter.name.dropFirst("base_model.model.".count).dropLast(".weight".count)
      let expected = try tiny.expected("gradient.\(name)")
      let largest = expected.map { abs($0) }.max() ?? 0
      let worst = largestDifference(parameter.gradient.floats(), expected)
      #expect(worst <= 1e-4 * max(1, largest), "\(name): \(worst) of \(largest)")
    }
  }
}
