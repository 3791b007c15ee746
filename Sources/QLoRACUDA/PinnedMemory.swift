// Pinned memory of the host, which the device reads and writes by itself across the bus: for what a
// step uses once or twice and need not lie in the device's own memory.
import CQLoRACUDA
import QLoRATensor

/// Where the bytes of a storage lie for a device.
protocol DevicePlace: DeviceMirror {
  /// Device memory with the current bytes. Where `isWriting`, the host's are stale from now on.
  func deviceAddress(isWriting: Bool) -> DeviceAddress
  func isOn(_ device: CUDADevice) -> Bool
}

// SAFETY: one memory for both sides; whoever asks for it on the host waits for the device first.
// Its place is set by the thread that prepares the weight, before anybody else knows it.
final class PinnedMemory: DevicePlace, @unchecked Sendable {
  private let device: CUDADevice
  let memory: UnsafeMutableRawPointer
  let byteCount: Int
  /// Of a part of a weight that is read ahead; set before the weight is used.
  var place: WeightPlace?

  /// nil where the host has none left, of which the device's failure says more.
  init?(_ byteCount: Int, _ device: CUDADevice) {
    var found: UnsafeMutableRawPointer?
    let didAllocate = device.attempt(DeviceFailure.pinning, detail: "\(byteCount) bytes") {
      $0.allocate_pinned(&found, max(1, byteCount), 0)
    }
    guard didAllocate, let found else { return nil }
    self.device = device
    self.byteCount = byteCount
    memory = found
  }

  deinit {
    place?.weight.reader.finish()
    device.synchronize()
    device.giveBack("cuMemFreeHost") { $0.free_pinned(memory) }
  }

  func isOn(_ device: CUDADevice) -> Bool { self.device === device }

  /// With unified addresses, which every GPU of the kernels' levels has, both sides share one.
  var ownAddress: DeviceAddress { DeviceAddress(UInt(bitPattern: memory)) }

  /// The copy of a weight that is read ahead, which is good until another weight is asked for.
  func deviceAddress(isWriting: Bool) -> DeviceAddress {
    guard !isWriting, let place, let start = place.weight.reader.address(of: place.weight) else {
      return ownAddress
    }
    return start + DeviceAddress(place.offset)
  }

  func hostAddress(isWriting: Bool) -> UnsafeMutableRawPointer {
    device.synchronize()
    return memory
  }

  func zero(_ range: Range<Int>) {
    (hostAddress(isWriting: true) + range.lowerBound).initializeMemory(
      as: UInt8.self, repeating: 0, count: range.count)
  }
}

extension CUDABackend {
  package var hasOutsideMemory: Bool { !device.isHollow }

  package func outsideZeros(_ shape: Shape, _ dtype: DType) -> Tensor {
    let tensor = outsideTensor(shape, dtype)
    tensor.zero()
    return tensor
  }

  /// Uninitialised memory of the host that the device reaches.
  func outsideTensor(_ shape: Shape, _ dtype: DType) -> Tensor {
    let byteCount = shape.count * dtype.byteSize
    guard let memory = PinnedMemory(byteCount, device) else {
      // The device has failed, so nothing is computed with this.
      return Tensor(uninitialized: shape, dtype)
    }
    return Tensor(
      shape: shape, dtype: dtype, storage: Storage(byteCount: byteCount, mirror: memory))
  }

  /// Memory for a part of a weight: the device's, as long as what weights may take of it lasts.
  func weightTensor(_ shape: Shape, _ dtype: DType) -> Tensor {
    let byteCount = shape.count * dtype.byteSize
    let isInside = weightBytesLeft.withLock { left in
      // After the first that has no room all are outside.
      let fits = left >= byteCount
      left = fits ? left - byteCount : 0
      return fits
    }
    return isInside || device.isHollow
      ? tensor(shape, dtype, stock) : outsideTensor(shape, dtype)
  }
}
