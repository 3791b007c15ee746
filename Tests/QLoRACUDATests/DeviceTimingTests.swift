// What takes a device's time, call by call.
import CUDASimulator
import QLoRACUDA
import QLoRATensor
import Testing

@Suite struct DeviceTimingTests {
  @Test func callsAreNamedAndCounted() throws {
    let cuda = try BothBackends().cuda
    let (from, to) = (cuda.allocate([40], .float32), cuda.allocate([40], .bfloat16))
    from.zero()
    cuda.convert(from, into: to)
    cuda.device.beginTiming()
    for _ in 0..<3 { cuda.convert(from, into: to) }
    from.zero()
    let times = cuda.device.endTiming()
    let counts = Dictionary(uniqueKeysWithValues: times.map { ($0.name, $0.count) })
    #expect(counts == ["qlora_copy": 3, "cuMemsetD8Async": 1])
    #expect(cuda.device.endTiming().isEmpty, "what comes after has no times")
  }

  @Test func productsAreNamedByTheirShape() throws {
    let cuda = try BothBackends().cuda
    let builder = try cuda.makeWeightBuilder(outFeatures: 8, inFeatures: 16, .dense(.float32))
    try builder.fill { _, _ in }
    let weight = try builder.finish()
    let (input, output) = (
      cuda.allocate([32, 16], .float32), cuda.allocate([32, 8], .float32))
    input.zero()
    cuda.device.beginTiming()
    cuda.linear(input, [LinearTerm(weight: weight, output: output)])
    let names = cuda.device.endTiming().map(\.name)
    #expect(names.contains("product 32x8x16 NT float32 to float32"), "\(names)")
  }
}
