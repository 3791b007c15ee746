// The GPU backend's state: its device, memory, kernels and products. What it computes is in the
// extensions `CUDABackend+….swift`, which face those of the CPU backend.
import CQLoRACUDA
import QLoRADiagnostics
import QLoRATensor
import Synchronization

// SAFETY: everything it holds guards itself.
package final class CUDABackend: @unchecked Sendable {
  package let device: CUDADevice
  /// Quantizes, and knows the layouts of files and of the cache of weights; computes nothing.
  let host: any WeightArchiving
  /// What operations borrow and give back.
  let pool: DevicePool
  /// What stays: weights, parameters, states.
  let stock: DevicePool
  let kernels: KernelLibrary
  let products: MatrixProducts
  let staging: PinnedStaging
  let readAhead: WeightReadAhead
  /// Values that wait for backward in the host's memory.
  let shelf: HostShelf
  let integers: DeviceIntegers<Int32>
  /// Of tensors that an optimizer asks of together.
  let lists: DeviceIntegers<UInt64>
  let tables: DeviceTables
  /// The step of generation that is being recorded.
  let recordedStep = Mutex<StepRecording?>(nil)
  /// Of what weights may take of the device's memory.
  let weightBytesLeft: Mutex<Int>

  /// Taken from the driver at once: large beside activations, small beside a GPU's memory.
  package static let growthBytes = 256 << 20

  /// - Parameters:
  ///   - host: prepares weights, before they go to the device.
  ///   - cache: where compiled kernels are kept between runs.
  ///   - poolBytes: what operations will borrow at most, where a plan knows it: one stretch of that
  ///     size then serves as the rehearsal's did.
  ///   - weightBytes: what weights may take of the device's memory; those that follow wait in the
  ///     host's, which the device reads by itself. nil: all that they need.
  ///   - growthBytes: what is taken from the driver at once otherwise.
  /// - Throws: where a kernel does not compile, cuBLASLt does not start, or the device's memory is
  ///   taken.
  package init(
    _ device: CUDADevice, host: any WeightArchiving, cache: KernelCache? = nil,
    poolBytes: Int? = nil, weightBytes: Int? = nil, growthBytes: Int = CUDABackend.growthBytes
  ) throws {
    self.device = device
    self.host = host
    kernels =
      device.isHollow ? KernelLibrary(hollow: device) : try KernelLibrary(device, cache: cache)
    pool = DevicePool(device, firstBytes: poolBytes, growthBytes: growthBytes)
    stock = DevicePool(device, growthBytes: growthBytes)
    products = try MatrixProducts(device, pool, kernels)
    staging = PinnedStaging(device)
    readAhead = WeightReadAhead(stock)
    shelf = HostShelf(pool)
    // What is kept from step to step stays out of the pool: a step finds it as the last one did.
    integers = DeviceIntegers(stock, .int32)
    lists = DeviceIntegers(stock, .uint64)
    tables = DeviceTables()
    weightBytesLeft = Mutex(weightBytes ?? .max)
    if let failure = device.failure { throw failure }
  }

  /// A backend that allocates as one on `device` would and computes nothing, so that a plan meets
  /// the same requests for memory as a run. What results hold is undefined.
  ///
  /// - Parameter host: shape-only, too.
  package convenience init(shapeOf device: CUDADevice, host: any WeightArchiving) throws {
    // One stretch that nothing outgrows, where holes are used as in a real one.
    try self.init(CUDADevice(shapeOf: device), host: host, growthBytes: 1 << 42)
  }

  package var name: String {
    "cuda (\(device.name), sm_\(device.level))"
  }

  package var statistics: DevicePoolStatistics { pool.statistics }
  /// Of the device's memory, for what stays and for what operations borrow.
  package var takenBytes: Int { pool.statistics.takenBytes + stock.statistics.takenBytes }

  package func allocate(_ shape: Shape, _ dtype: DType) -> Tensor {
    tensor(shape, dtype, recordedStep.withLock { $0?.pool } ?? pool)
  }

  /// A tensor that counts as no activation.
  package func hollowTensor(_ shape: Shape) -> Tensor { tensor(shape, .float32, stock) }

  func tensor(_ shape: Shape, _ dtype: DType, _ pool: DevicePool) -> Tensor {
    let byteCount = shape.count * dtype.byteSize
    return Tensor(
      shape: shape, dtype: dtype,
      storage: Storage(byteCount: byteCount, mirror: StorageMirror(byteCount, pool)))
  }

  /// Lets the pool's peak and extent begin again at what is lent now.
  package func restartPool() {
    pool.restart()
    shelf.restart()
  }

  package func synchronize() { device.synchronize() }

  package func checkHealth() throws {
    if let failure = device.failure { throw failure }
  }

  /// The driver's, and what the pool has taken and not lent.
  package var roomBytes: Int? {
    let statistics = pool.statistics
    return device.freeBytes + statistics.takenBytes - statistics.liveBytes
  }

  // MARK: Where tensors lie

  private func mirror(_ tensor: Tensor) -> any DevicePlace {
    let storage = tensor.storage
    storage.attach { StorageMirror(host: $0, storage.byteCount, stock) }
    // Nearly all are of this class, and to ask for a protocol takes long.
    let place = storage.mirror as? StorageMirror ?? (storage.mirror as? any DevicePlace)
    guard let place, place.isOn(device) else {
      preconditionFailure("a tensor of another device")
    }
    return place
  }

  /// The device's memory of a tensor that is only read.
  func read(_ tensor: Tensor) -> DeviceAddress {
    mirror(tensor).deviceAddress(isWriting: false) + DeviceAddress(tensor.byteOffset)
  }

  /// The same; memory of the host is read across the bus.
  func readInPlace(_ tensor: Tensor) -> DeviceAddress {
    guard let pinned = tensor.storage.mirror as? PinnedMemory else { return read(tensor) }
    return pinned.ownAddress + DeviceAddress(tensor.byteOffset)
  }

  /// The device's memory of a tensor that is written, or read and written.
  func write(_ tensor: Tensor) -> DeviceAddress {
    mirror(tensor).deviceAddress(isWriting: true) + DeviceAddress(tensor.byteOffset)
  }

  /// A matrix that is only read, rows one after the other.
  func matrix(_ tensor: Tensor) -> DeviceMatrix {
    DeviceMatrix(address: read(tensor), dtype: tensor.dtype, stride: tensor.shape[-1])
  }

  func writable(_ tensor: Tensor) -> DeviceMatrix {
    DeviceMatrix(address: write(tensor), dtype: tensor.dtype, stride: tensor.shape[-1])
  }

  // MARK: Launching

  /// Threads of kernels that go over elements.
  static let elementThreads = 256
  /// Blocks for each multiprocessor of kernels that take any grid: enough to hide memory's latency.
  private static let blocksPerProcessor = 16
  /// Of kernels whose threads take pieces, so that few are left for a second turn.
  private static let pieceBlocksPerProcessor = 64

  /// Enqueues a kernel that takes any grid, for `count` elements.
  func launch(
    _ kernel: String, over count: Int, perProcessor most: Int = CUDABackend.blocksPerProcessor,
    _ arguments: [any KernelArgument]
  ) {
    kernels.launch(
      kernel, grid: (blocks(over: count, perProcessor: most), 1, 1),
      threads: Self.elementThreads, arguments)
  }

  private func blocks(over count: Int, perProcessor most: Int) -> Int {
    let blocks = (count + Self.elementThreads - 1) / Self.elementThreads
    return min(blocks, device.processors * most)
  }

  /// Blocks of a kernel whose threads take pieces of rows.
  func blocks(overPiecesOf columns: Int, rows: Int) -> Int {
    // `piece` elements each in the kernels.
    blocks(over: rows * ((columns + 7) / 8), perProcessor: Self.pieceBlocksPerProcessor)
  }

  /// Enqueues a kernel whose threads take pieces of rows.
  func launch(
    _ kernel: String, overPiecesOf columns: Int, rows: Int = 1, _ arguments: [any KernelArgument]
  ) {
    kernels.launch(
      kernel, grid: (blocks(overPiecesOf: columns, rows: rows), 1, 1),
      threads: Self.elementThreads, arguments)
  }

  /// Enqueues a kernel with a warp for each item, four to a block.
  func launchWarps(_ kernel: String, _ items: Int, _ arguments: [any KernelArgument]) {
    kernels.launch(kernel, grid: ((items + 3) / 4, 1, 1), threads: 128, arguments)
  }

  /// Lanes that share a row of up to so many elements: those of a warp; a block shares a wider one.
  private static let narrowWidth = 1_024

  /// Enqueues a kernel of rows, whose last arguments say how they are shared out.
  func launchRows(
    _ kernel: String, _ rows: Int, width: Int, _ arguments: [any KernelArgument]
  ) {
    let lanes = width <= Self.narrowWidth ? 32 : Self.elementThreads
    let blocks = (rows * lanes + Self.elementThreads - 1) / Self.elementThreads
    kernels.launch(
      kernel, grid: (blocks, 1, 1), threads: Self.elementThreads,
      arguments + [rows, width, Int32(lanes)])
  }
}
