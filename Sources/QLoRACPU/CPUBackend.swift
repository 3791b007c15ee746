// The CPU backend's state: its kernels, threads and memory. What it computes is in the extensions
// `CPUBackend+….swift`.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor

/// Who computes the large products of `linear`.
package enum ProductEngine: String, Sendable, CaseIterable {
  /// Our kernels, which decode 4-bit weights into the cache as they go.
  case fused
  /// Decode a block of weights to fp32 and hand it to OpenBLAS.
  case openBLAS
  /// The faster of both for the shape, by measurement.
  case automatic
  /// 4-bit weights in 16-bit integers, twice as fast as fp32 and less exact; others fused.
  case int16
}

// SAFETY: `kernels` points to constant tables; everything else is Sendable.
package final class CPUBackend: @unchecked Sendable {
  package let name: String
  package let threadPool: ThreadPool
  package let storagePool = StoragePool()
  let kernels: UnsafePointer<qlora_kernels>
  /// The product kernels of `kernels`.
  let product: qlora_product_kernels
  let engine: ProductEngine
  /// Where weights without data lie; nil where this backend computes.
  let hollowPool: StoragePool?
  /// nil unless `engine` is `int16`.
  let int16: qlora_int16_kernels?
  /// For weights in 8 bits.
  let int8: qlora_int8_kernels

  /// - Parameters:
  ///   - threads: 0 means all cores.
  ///   - instructionSet: such as `avx2`; nil takes `QLORA_ISA` or else the best of this CPU.
  ///   - isShapeOnly: allocate as always but compute nothing, so that a plan meets the same
  ///     requests for memory as a run. What results hold is undefined.
  /// - Throws: where the CPU lacks the instruction set, or dot products for `int16`.
  package init(
    threads: Int = 0, product: ProductEngine = .automatic, instructionSet: String? = nil,
    isShapeOnly: Bool = false
  ) throws {
    let table = instructionSet.map { qlora_kernels_for($0) } ?? qlora_kernels_select()
    guard let table else {
      throw Diagnostic(
        .instructionSetMissing,
        "this CPU has no kernels called \"\(instructionSet ?? "in QLORA_ISA")\"",
        remedy: "unset QLORA_ISA, or use one of: \(Self.instructionSets.joined(separator: ", "))")
    }
    kernels = table
    self.product = table.pointee.product.pointee
    let kernelName = String(cString: table.pointee.name)
    name = product == .int16 ? "cpu (\(kernelName), int16)" : "cpu (\(kernelName))"
    threadPool = ThreadPool(threads: threads, isIdle: isShapeOnly)
    hollowPool = isShapeOnly ? StoragePool() : nil
    engine = product
    int8 = qlora_int8_kernels_for(table.pointee.product).pointee
    int16 = product == .int16 ? try Self.int16Kernels(table) : nil
  }

  /// The tables that this CPU can run, best first.
  package static let instructionSets: [String] = [
    "amx", "avx512bf16", "avx512", "avx2", "neon", "reference",
  ].filter {
    qlora_kernels_for($0) != nil
  }

  package func allocate(_ shape: Shape, _ dtype: DType) -> Tensor {
    Tensor(
      shape: shape, dtype: dtype, storage: storagePool.borrow(shape.count * dtype.byteSize))
  }

  /// Whether the kernels are the scalar reference.
  var isScalar: Bool { kernels.pointee.product == qlora_kernels_for("reference")?.pointee.product }

  /// Nothing to wait for: every call has finished when it returns.
  package func synchronize() {}
}
