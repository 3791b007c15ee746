// A dense, contiguous, row-major tensor. No strides, no broadcasting: operations
// here are coarse and say their shapes.

/// A shape, an element type and a place in a `Storage`. Copies share the memory.
package struct Tensor: Sendable {
  package let shape: Shape
  package let dtype: DType
  package private(set) var storage: Storage
  package let byteOffset: Int

  package init(shape: Shape, dtype: DType, storage: Storage, byteOffset: Int = 0) {
    precondition(byteOffset + shape.count * dtype.byteSize <= storage.byteCount)
    self.shape = shape
    self.dtype = dtype
    self.storage = storage
    self.byteOffset = byteOffset
  }

  /// Uninitialised memory of its own.
  package init(uninitialized shape: Shape, _ dtype: DType) {
    self.init(
      shape: shape, dtype: dtype, storage: Storage(byteCount: shape.count * dtype.byteSize))
  }

  package init(zeros shape: Shape, _ dtype: DType = .float32) {
    self.init(uninitialized: shape, dtype)
    zero()
  }

  package init(_ values: [Float], shape: Shape) {
    precondition(values.count == shape.count)
    self.init(uninitialized: shape, .float32)
    withMutableElements(Float.self) { _ = $0.update(fromContentsOf: values) }
  }

  package init(bytes: [UInt8], shape: Shape, dtype: DType) {
    precondition(bytes.count == shape.count * dtype.byteSize)
    self.init(uninitialized: shape, dtype)
    withMutableBytes { $0.copyBytes(from: bytes) }
  }

  /// Whether no other tensor shares this one's memory, so that writing into it disturbs nobody.
  package mutating func isUniquelyReferenced() -> Bool { isKnownUniquelyReferenced(&storage) }

  package var count: Int { shape.count }
  package var byteCount: Int { count * dtype.byteSize }

  /// The same elements under another shape of equal count.
  package func reshaped(_ shape: Shape) -> Tensor {
    precondition(shape.count == count)
    return Tensor(shape: shape, dtype: dtype, storage: storage, byteOffset: byteOffset)
  }

  /// Rows `range` of the outermost axis, sharing memory.
  package func rows(_ range: Range<Int>) -> Tensor {
    let rowCount = count / max(1, shape[0])
    return Tensor(
      shape: Shape([range.count] + shape.extents.dropFirst()), dtype: dtype, storage: storage,
      byteOffset: byteOffset + range.lowerBound * rowCount * dtype.byteSize)
  }
}

// SAFETY: the closures' buffers cover exactly this tensor's bytes, which `init` checked against
// the storage, and `storage` is kept alive by `self` for the length of the call.
extension Tensor {
  /// The first byte, to write to; valid while this tensor is referenced.
  package var address: UnsafeMutableRawPointer { storage.baseAddress + byteOffset }
  /// The first byte, only to be read.
  package var readAddress: UnsafeRawPointer { UnsafeRawPointer(storage.readAddress + byteOffset) }

  package func pointer<Element>(_: Element.Type) -> UnsafeMutablePointer<Element> {
    precondition(MemoryLayout<Element>.stride == dtype.byteSize)
    return address.assumingMemoryBound(to: Element.self)
  }

  package func withElements<Element, Result>(
    _: Element.Type, _ body: (UnsafeBufferPointer<Element>) throws -> Result
  ) rethrows -> Result {
    precondition(MemoryLayout<Element>.stride == dtype.byteSize)
    return try body(
      UnsafeBufferPointer(
        start: readAddress.assumingMemoryBound(to: Element.self), count: count))
  }

  package func withMutableElements<Element, Result>(
    _: Element.Type, _ body: (UnsafeMutableBufferPointer<Element>) throws -> Result
  ) rethrows -> Result {
    try body(UnsafeMutableBufferPointer(start: pointer(Element.self), count: count))
  }

  package func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try body(UnsafeRawBufferPointer(start: readAddress, count: byteCount))
  }

  package func withMutableBytes<Result>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try body(UnsafeMutableRawBufferPointer(start: address, count: byteCount))
  }

  package func zero() { storage.zero(byteOffset..<byteOffset + byteCount) }

  /// A copy of the elements as Swift floats, widening the 16-bit types.
  package func floats() -> [Float] {
    switch dtype {
    case .float32: return withElements(Float.self) { Array($0) }
    case .float16: return withElements(UInt16.self) { $0.map { Float(Float16(bitPattern: $0)) } }
    case .bfloat16:
      return withElements(UInt16.self) { $0.map { Float(bitPattern: UInt32($0) << 16) } }
    default: preconditionFailure("floats() of \(dtype)")
    }
  }

  /// The one element of a `float32` tensor at a flat index.
  package subscript(flat index: Int) -> Float {
    get { withElements(Float.self) { $0[index] } }
    nonmutating set { pointer(Float.self)[index] = newValue }
  }
}

extension Float {
  /// Rounded to the nearest bfloat16, ties to even, as bits.
  package var bfloat16Bits: UInt16 {
    if isNaN { return UInt16(bitPattern >> 16) | 0x40 }
    return UInt16((bitPattern &+ 0x7FFF &+ ((bitPattern >> 16) & 1)) >> 16)
  }
}
