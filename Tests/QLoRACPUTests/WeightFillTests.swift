// A weight that is read by the threads that prepare it has the bytes of one that came in pieces,
// whatever the threads and the instruction set; and it survives being taken apart.
import QLoRADiagnostics
import QLoRATensor
import TestSupport
import Testing

import QLoRACPU

struct WeightFillTests {
  struct Case: CustomTestStringConvertible {
    let outFeatures: Int
    let inFeatures: Int
    let storage: WeightStorage

    var testDescription: String { "\(outFeatures)x\(inFeatures) \(storage)" }
  }

  /// Whole groups and padded ones, blocks within rows and across them, few rows and many.
  static let cases: [Case] = [(8, 64), (1, 1), (13, 80), (64, 576), (7, 1001), (70, 640)].flatMap {
    size in
    let quantized = [
      QuantizationSpec(), QuantizationSpec(type: .fp4, blockSize: 128),
      QuantizationSpec(blockSize: 32, doubleQuantized: false), QuantizationSpec(blockSize: 4096),
    ]
    let held = quantized.map(WeightStorage.fourBit) + [
      .dense(.float32), .dense(.bfloat16), .int8(Int8Spec()),
    ]
    return held.map { Case(outFeatures: size.0, inFeatures: size.1, storage: $0) }
  }

  private func values(_ item: Case) -> [Float] {
    var generator = SeededGenerator(seed: 5)
    return generator.normals(item.outFeatures * item.inFeatures, scale: 0.1)
  }

  private func filled(_ item: Case, _ values: [Float], _ backend: CPUBackend) throws
    -> any PreparedWeight
  {
    let builder = try backend.makeWeightBuilder(
      outFeatures: item.outFeatures, inFeatures: item.inFeatures, item.storage)
    try builder.fill { _ = $1.update(fromContentsOf: values[$0]) }
    return try builder.finish()
  }

  private func bytes(_ archived: ArchivedWeight) -> [[UInt8]] {
    archived.parts.map { $0.withBytes { Array($0) } }
  }

  @Test(arguments: cases)
  func fillingIsAppendingForAllThreadsAndInstructionSets(item: Case) throws {
    let values = values(item)
    let reference = try CPUBackend(threads: 1, instructionSet: "reference")
    let builder = try reference.makeWeightBuilder(
      outFeatures: item.outFeatures, inFeatures: item.inFeatures, item.storage)
    try values.withUnsafeBufferPointer { all in
      try builder.append(UnsafeBufferPointer(rebasing: all[..<(all.count / 3)]))
      try builder.append(UnsafeBufferPointer(rebasing: all[(all.count / 3)...]))
    }
    let expected = bytes(reference.archive(try builder.finish()))
    for set in CPUBackend.instructionSets {
      for threads in [1, 3] {
        let backend = try CPUBackend(threads: threads, instructionSet: set)
        #expect(backend.weightLayout == reference.weightLayout)
        let found = bytes(backend.archive(try filled(item, values, backend)))
        #expect(found == expected, "\(set), \(threads) threads")
      }
    }
  }

  @Test(arguments: cases)
  func aRestoredWeightIsTheWeight(item: Case) throws {
    let backend = try CPUBackend(threads: 2)
    let weight = try filled(item, values(item), backend)
    let archived = backend.archive(weight)
    let restored = try backend.restore(archived)
    #expect(bytes(backend.archive(restored)) == bytes(archived))
    #expect(restored.spec == weight.spec && restored.byteCount == weight.byteCount)
    let decoded = [weight, restored].map { weight in
      let tensor = backend.allocate([item.outFeatures, item.inFeatures], .float32)
      backend.decode(weight, rows: 0..<item.outFeatures, into: tensor)
      return tensor.floats()
    }
    #expect(decoded[0] == decoded[1])
  }

  @Test(arguments: cases)
  func partsOfOtherLengthsAreRefused(item: Case) throws {
    let backend = try CPUBackend(threads: 1)
    let whole = backend.archive(try filled(item, values(item), backend))
    for index in whole.parts.indices {
      var short = whole
      short.parts[index] = Tensor(
        uninitialized: [whole.parts[index].count + 1], whole.parts[index].dtype)
      #expect(throws: Diagnostic.self) { try backend.restore(short) }
      short.parts[index] = Tensor(zeros: [whole.parts[index].count], .int64)
      #expect(throws: Diagnostic.self) { try backend.restore(short) }
      var fewer = whole
      fewer.parts.remove(at: index)
      #expect(throws: Diagnostic.self) { try backend.restore(fewer) }
    }
  }

  @Test(arguments: [
    WeightStorage.fourBit(QuantizationSpec()), .dense(.bfloat16), .int8(Int8Spec()),
  ], [1, 3])
  func theEarliestBadElementIsNamed(storage: WeightStorage, threads: Int) throws {
    let backend = try CPUBackend(threads: threads)
    let item = Case(outFeatures: 256, inFeatures: 576, storage: storage)
    for (first, second) in [(70_001, 140_000), (3, 147_455), (16_383, 16_384)] {
      var values = values(item)
      values[first] = -.infinity
      values[second] = .nan
      let error = #expect(throws: Diagnostic.self) { try filled(item, values, backend) }
      #expect(error?.code == .weightNotFinite)
      #expect(error?.message.contains("element \(first) ") == true, "\(error?.message ?? "")")
    }
  }

  @Test func aFailedReadIsPassedOn() throws {
    let backend = try CPUBackend(threads: 3)
    for storage in [
      WeightStorage.fourBit(QuantizationSpec()), .dense(.float32), .int8(Int8Spec()),
    ] {
      let builder = try backend.makeWeightBuilder(outFeatures: 512, inFeatures: 576, storage)
      let error = #expect(throws: Diagnostic.self) {
        try builder.fill { range, destination in
          destination.update(repeating: 0.5)
          if range.contains(100_000) { throw Diagnostic(.weightIncomplete, "stop") }
        }
      }
      #expect(error?.message == "stop")
    }
  }
}
