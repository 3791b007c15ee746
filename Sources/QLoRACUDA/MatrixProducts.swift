// Matrix products by cuBLASLt, whose proposals are asked for once for each shape, and by a plain
// kernel where it has none.
import CQLoRACUDA
import QLoRADiagnostics
import QLoRATensor
import Synchronization

/// A matrix in device memory, rows `stride` elements apart.
struct DeviceMatrix {
  var address: DeviceAddress
  var dtype: DType
  var stride: Int
  /// Whether it lies with its axes exchanged.
  var isAcross = false

  /// The same memory, read along its other axis.
  var across: DeviceMatrix {
    DeviceMatrix(address: address, dtype: dtype, stride: stride, isAcross: !isAcross)
  }

  /// From column `column` of the memory on.
  func columns(from column: Int) -> DeviceMatrix {
    var matrix = self
    matrix.address += DeviceAddress(column * dtype.byteSize)
    return matrix
  }

  /// What the address is a multiple of, up to the 16 bytes that matter.
  var alignment: UInt32 { UInt32(1) << UInt32(min(4, address.trailingZeroBitCount)) }

  /// From row `row` of the memory on.
  func rows(from row: Int) -> DeviceMatrix { columns(from: row * stride) }
}

/// Everything that a proposal depends on.
struct ProductShape: Hashable, Sendable, CustomStringConvertible {
  let rows: Int
  let columns: Int
  let depth: Int
  let strides: [Int]
  /// Of the three addresses, in bytes: proposals differ by what they may assume.
  let alignments: [UInt32]
  let across: [Bool]
  let input: DType
  let output: DType

  /// As reports and errors name it.
  var description: String {
    let axes = across.map { $0 ? "T" : "N" }.joined()
    return "product \(rows)x\(columns)x\(depth) \(axes) \(input.rawValue) to \(output.rawValue)"
  }
}

// SAFETY: handles belong to cuBLASLt; the table of proposals is behind a lock, and a workspace is
// used by one product after the other of one stream.
final class MatrixProducts: @unchecked Sendable {
  private enum Way {
    case planned(Plan)
    /// cuBLASLt has no proposal, or refused its own.
    case plain
  }

  private struct Plan {
    let product: qlora_cuda_handle
    /// Of a, b and the result, as cuBLASLt sees them.
    let layouts: [qlora_cuda_handle]
    let algorithm: qlora_cuda_algorithm
  }

  /// Numbers of cuBLASLt's interface.
  private enum Number {
    static let float32: Int32 = 0
    static let bfloat16: Int32 = 14
    static let computeFloat32: Int32 = 68
    static let transposesA: Int32 = 3
    static let transposesB: Int32 = 4
    static let workspaceBytes: Int32 = 1
    static let reductionSchemes: Int32 = 3
    /// Of a, b, the sum that is added to, and the result.
    static let alignments: [Int32] = [5, 6, 7, 8]
    /// None, or partial sums in float32 that are added in a step of their own: no order is left to
    /// chance.
    static let orderedReductions: UInt32 = 2
    /// CUBLAS_STATUS_INVALID_VALUE, …_NOT_SUPPORTED: of this shape; the device is well.
    static let refusals: [Int32] = [7, 15]
  }

  /// What cuBLASLt recommends for its fastest kernels of the newest devices.
  private static let workspaceBytes = 32 << 20

  private let device: CUDADevice
  private let functions: qlora_cuda_products
  private let handle: qlora_cuda_handle?
  private let workspace: DeviceBlock
  private let pool: DevicePool
  let kernels: KernelLibrary
  private let ways = Mutex<[ProductShape: Way]>([:])

  /// - Throws: where cuBLASLt does not start.
  init(_ device: CUDADevice, _ pool: DevicePool, _ kernels: KernelLibrary) throws(Diagnostic) {
    self.device = device
    self.pool = pool
    self.kernels = kernels
    functions = device.libraries.products
    workspace = pool.borrow(Self.workspaceBytes)
    var handle: qlora_cuda_handle?
    let functions = functions
    var status: Int32 = 0
    device.attempt(Self.start) { _ in
      status = functions.create(&handle)
      return 0
    }
    self.handle = handle
    if status != 0 { throw Self.refusal(status, device) }
  }

  private static let start = "cublasLtCreate"

  /// The device is well, and another try would end as this one.
  private static func refusal(_ status: Int32, _ device: CUDADevice) -> Diagnostic {
    let failure = CUDADevice.failure(start, status, device.libraries.driver)
      .diagnostic(device: device.name)
    if failure.code == .deviceMemoryExhausted { return failure }
    return Diagnostic(
      .cudaLibraryMissing,
      "cuBLASLt does not start with this driver: \(start) returned \(status)",
      remedy: "install a cuBLAS of the driver's CUDA (`qlora doctor` has both versions), or use "
        + "device \"cpu\"")
  }

  deinit {
    let functions = functions
    ways.withLock { ways in
      for case .planned(let plan) in ways.values {
        for layout in plan.layouts { _ = functions.layout_destroy(layout) }
        _ = functions.product_destroy(plan.product)
      }
    }
    if let handle { _ = functions.destroy(handle) }
    pool.recycle(workspace)
  }

  /// `output [rows, columns] = factor · left [rows, depth] · right [depth, columns]`, plus itself
  /// where `adding`. Sums are float32.
  func multiply(
    _ left: DeviceMatrix, _ right: DeviceMatrix, into output: DeviceMatrix, rows: Int,
    columns: Int, depth: Int, factor: Float = 1, adding: Bool = false
  ) {
    guard rows > 0, columns > 0, depth > 0, device.failure == nil, let handle else { return }
    let shape = ProductShape(
      rows: rows, columns: columns, depth: depth,
      strides: [left.stride, right.stride, output.stride],
      alignments: [left, right, output].map(\.alignment), across: [left.isAcross, right.isAcross],
      input: left.dtype, output: output.dtype)
    guard case .planned(let plan)? = ways.withLock({ way(shape, &$0) }) else {
      return multiplyPlainly(left, right, into: output, shape, factor: factor, adding: adding)
    }
    var (scale, kept): (Float, Float) = (factor, adding ? 1 : 0)
    var algorithm = plan.algorithm.algorithm
    let functions = functions
    var isRefused = false
    // Row-major matrices are column-major ones with their axes exchanged: right comes first.
    device.attempt("cublasLtMatmul", detail: "\(shape)") { _ in
      let status = functions.multiply(
        handle, plan.product, &scale, right.address, plan.layouts[0], left.address,
        plan.layouts[1], &kept, output.address, plan.layouts[2], output.address, plan.layouts[2],
        &algorithm, workspace.address, workspace.byteCount, device.stream)
      isRefused = Number.refusals.contains(status)
      return isRefused ? 0 : status
    }
    guard isRefused else { return }
    ways.withLock { $0[shape] = .plain }
    multiplyPlainly(left, right, into: output, shape, factor: factor, adding: adding)
  }

  /// Shapes that went to the plain kernel, for reports.
  var plainShapes: [ProductShape] {
    ways.withLock { ways in
      ways.compactMap { if case .plain = $0.value { $0.key } else { nil } }
    }
  }

  private func type(_ dtype: DType) -> Int32 {
    dtype == .bfloat16 ? Number.bfloat16 : Number.float32
  }

  private func way(_ shape: ProductShape, _ ways: inout [ProductShape: Way]) -> Way {
    if let way = ways[shape] { return way }
    let way = plan(shape).map { Way.planned($0) } ?? .plain
    ways[shape] = way
    return way
  }

  /// nil where there is no proposal, or after a failure.
  private func plan(_ shape: ProductShape) -> Plan? {
    var product: qlora_cuda_handle?
    check("cublasLtMatmulDescCreate") {
      $0.product_create(&product, Number.computeFloat32, Number.float32)
    }
    guard let product else { return nil }
    for (attribute, isAcross) in [
      (Number.transposesA, shape.across[1]), (Number.transposesB, shape.across[0]),
    ] {
      var operation: Int32 = isAcross ? 1 : 0
      check("cublasLtMatmulDescSetAttribute") {
        $0.product_set(product, attribute, &operation, MemoryLayout<Int32>.size)
      }
    }
    let layouts = [
      layout(shape.input, shape.columns, shape.depth, shape.strides[1], shape.across[1]),
      layout(shape.input, shape.depth, shape.rows, shape.strides[0], shape.across[0]),
      layout(shape.output, shape.columns, shape.rows, shape.strides[2], false),
    ].compactMap { $0 }
    guard layouts.count == 3, let algorithm = propose(product, layouts, shape) else {
      return nil
    }
    return Plan(product: product, layouts: layouts, algorithm: algorithm)
  }

  /// A column-major matrix, whose columns are the rows of ours.
  private func layout(
    _ dtype: DType, _ rows: Int, _ columns: Int, _ stride: Int, _ isAcross: Bool
  ) -> qlora_cuda_handle? {
    var layout: qlora_cuda_handle?
    let (rows, columns) = isAcross ? (columns, rows) : (rows, columns)
    check("cublasLtMatrixLayoutCreate") {
      $0.layout_create(&layout, type(dtype), UInt64(rows), UInt64(columns), Int64(stride))
    }
    return layout
  }

  private func propose(
    _ product: qlora_cuda_handle, _ layouts: [qlora_cuda_handle], _ shape: ProductShape
  ) -> qlora_cuda_algorithm? {
    var preference: qlora_cuda_handle?
    check("cublasLtMatmulPreferenceCreate") { $0.preference_create(&preference) }
    guard let preference, let handle else { return nil }
    var (bytes, schemes) = (UInt64(Self.workspaceBytes), Number.orderedReductions)
    check("cublasLtMatmulPreferenceSetAttribute") {
      $0.preference_set(preference, Number.workspaceBytes, &bytes, MemoryLayout<UInt64>.size)
    }
    check("cublasLtMatmulPreferenceSetAttribute") {
      $0.preference_set(preference, Number.reductionSchemes, &schemes, MemoryLayout<UInt32>.size)
    }
    let (left, right, output) = (shape.alignments[0], shape.alignments[1], shape.alignments[2])
    for (attribute, bytes) in zip(Number.alignments, [right, left, output, output]) {
      var bytes = bytes
      check("cublasLtMatmulPreferenceSetAttribute") {
        $0.preference_set(preference, attribute, &bytes, MemoryLayout<UInt32>.size)
      }
    }
    var result = qlora_cuda_algorithm()
    var found: Int32 = 0
    check("cublasLtMatmulAlgoGetHeuristic", "\(shape)") {
      let status = $0.propose(
        handle, product, layouts[0], layouts[1], layouts[2], layouts[2], preference, 1, &result,
        &found)
      let isRefused = Number.refusals.contains(status)
      if isRefused { found = 0 }
      return isRefused ? 0 : status
    }
    check("cublasLtMatmulPreferenceDestroy") { $0.preference_destroy(preference) }
    return device.failure == nil && found > 0 && result.state == 0 ? result : nil
  }

  private func check(
    _ call: String, _ detail: String = "", _ body: (qlora_cuda_products) -> Int32
  ) {
    let functions = functions
    device.attempt(call, detail: detail) { _ in body(functions) }
  }
}
