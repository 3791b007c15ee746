// What the weight builders refuse, and how they name it.
import QLoRADiagnostics
import QLoRATensor
import Testing

import QLoRACPU

struct QuantizationErrorTests {
  let backend = try! CPUBackend(threads: 2)

  private func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing was thrown"
    } catch { return "\(error)" }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func namesTheFlatIndexOfANonFiniteElement(bad: Float) throws {
    for storage in [WeightStorage.fourBit(QuantizationSpec()), .dense(.bfloat16)] {
      let builder = try backend.makeWeightBuilder(outFeatures: 16, inFeatures: 64, storage)
      var values = [Float](repeating: 0.5, count: 1024)
      values[777] = bad
      let text = message {
        try values.withUnsafeBufferPointer { try builder.append($0) }
        _ = try builder.finish()
      }
      #expect(text.contains("E0803") && text.contains("element 777"))
    }
  }

  @Test func refusesTooFewAndTooManyElements() throws {
    for storage in [WeightStorage.fourBit(QuantizationSpec()), .dense(.float32)] {
      let short = try backend.makeWeightBuilder(outFeatures: 2, inFeatures: 64, storage)
      #expect(message { _ = try short.finish() }.contains("after 0 of the 128"))
      let long = try backend.makeWeightBuilder(outFeatures: 2, inFeatures: 64, storage)
      let values = [Float](repeating: 1, count: 129)
      let text = message { try values.withUnsafeBufferPointer { try long.append($0) } }
      #expect(text.contains("E0804"))
    }
  }

  @Test func refusesBlockSizesAndShapesThatTheFormatLacks() {
    for size in [0, 16, 48, 8192] {
      let spec = QuantizationSpec(blockSize: size)
      let text = message {
        _ = try backend.makeWeightBuilder(outFeatures: 2, inFeatures: 64, .fourBit(spec))
      }
      #expect(text.contains("E0802"))
    }
    #expect(
      message {
        _ = try backend.makeWeightBuilder(outFeatures: 0, inFeatures: 64, .dense(.float32))
      }.contains("E0802"))
  }

  @Test func refusesFilesWhosePartsHaveOtherLengths() {
    let matrix = QuantizedMatrix(
      shape: [4, 64], spec: QuantizationSpec(doubleQuantized: false),
      packed: Tensor(zeros: [128], .uint8), scales: .plain(Tensor(zeros: [3])),
      sourceDType: .float32)
    #expect(message { _ = try backend.prepare(matrix) }.contains("absmax"))
  }

  @Test func anUnknownInstructionSetIsADiagnostic() {
    #expect(message { _ = try CPUBackend(instructionSet: "sse9") }.contains("E0801"))
  }
}
