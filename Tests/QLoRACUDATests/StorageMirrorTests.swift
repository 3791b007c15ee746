// One storage, two memories: whoever asks gets the bytes that were written last.
import QLoRATensor
import Testing

import QLoRACUDA

@Suite struct StorageMirrorTests {
  @Test func writesAreSeenOnTheOtherSide() throws {
    let backend = try BothBackends().cuda
    let host = Tensor([1, 2, 3], shape: [3])
    let device = backend.allocate([3], .float32)
    backend.add(host, host, into: device)
    #expect(device.floats() == [2, 4, 6])
    host[flat: 1] = 10
    backend.add(host, device, into: host)
    #expect(host.floats() == [3, 14, 9])
    device[flat: 0] = -1
    backend.scale(device, by: 2)
    #expect(device.floats() == [-2, 8, 12])
    host.zero()
    device.rows(1..<2).zero()
    backend.add(host, device, into: host)
    #expect(host.floats() == [-2, 0, 12])
  }

  @Test func viewsShareBothMemories() throws {
    let backend = try BothBackends().cuda
    let whole = Tensor([1, 2, 3, 4, 5, 6], shape: [3, 2])
    backend.scale(whole.rows(1..<2), by: 10)
    #expect(whole.floats() == [1, 2, 30, 40, 5, 6])
    whole.rows(2..<3).withMutableElements(Float.self) { $0[0] = 7 }
    backend.scale(whole, by: 2)
    #expect(whole.floats() == [2, 4, 60, 80, 14, 12])
  }

  @Test func memoryComesBack() throws {
    let backend = try BothBackends(growthBytes: 1 << 16).cuda
    let before = backend.statistics
    for _ in 0..<10 {
      let host = Tensor([Float](repeating: 1, count: 1_000), shape: [1_000])
      let device = backend.allocate([1_000], .float32)
      backend.add(host, host, into: device)
      #expect(device.floats().allSatisfy { $0 == 2 })
    }
    #expect(backend.statistics.liveBytes == before.liveBytes)
    #expect(backend.statistics.growthCount <= before.growthCount + 1)
  }
}
