// Shapes, element types and views: which tensors share memory, and which part of it.
import QLoRATensor
import Testing

@Suite struct TensorTests {
  @Test func shapesCountTheirElements() {
    #expect(([3, 4, 5] as Shape).count == 60)
    #expect(([] as Shape).count == 1)
    #expect(([7, 0] as Shape).count == 0)
    let shape: Shape = [3, 4, 5]
    #expect(shape[0] == 3 && shape[-1] == 5 && shape.rank == 3)
    #expect(shape.description == "[3, 4, 5]")
  }

  @Test(arguments: [
    (DType.float64, 8), (.float32, 4), (.float16, 2), (.bfloat16, 2), (.int64, 8), (.int32, 4),
    (.int16, 2), (.int8, 1), (.uint64, 8), (.uint32, 4), (.uint16, 2), (.uint8, 1), (.bool, 1),
  ])
  func typesHaveTheirSizes(_ dtype: DType, bytes: Int) {
    #expect(dtype.byteSize == bytes)
    #expect(Tensor(uninitialized: [3], dtype).byteCount == 3 * bytes)
  }

  @Test func memoryIsAligned() {
    for count in [0, 1, 63, 1000] {
      let address = Tensor(uninitialized: [count], .float32).address
      #expect(UInt(bitPattern: address) % UInt(Storage.alignment) == 0)
    }
  }

  @Test func rowsShareTheirMemory() {
    let whole = Tensor([0, 1, 2, 3, 4, 5], shape: [3, 2])
    let last = whole.rows(1..<3)
    #expect(last.shape == [2, 2])
    #expect(last.floats() == [2, 3, 4, 5])
    last[flat: 0] = 20
    #expect(whole.floats() == [0, 1, 20, 3, 4, 5])
    #expect(last.rows(1..<2).floats() == [4, 5])
    #expect(whole.rows(3..<3).floats() == [])
  }

  @Test func rowsOfNarrowTypesStartAtTheirBytes() {
    let whole = Tensor(bytes: [1, 2, 3, 4, 5, 6], shape: [3, 1], dtype: .bfloat16)
    #expect(whole.rows(1..<2).withBytes { Array($0) } == [3, 4])
  }

  @Test func anEmptyTensorHasNoRows() {
    let empty = Tensor(zeros: [0, 4])
    #expect(empty.rows(0..<0).shape == [0, 4])
    #expect(empty.floats() == [])
  }

  @Test func reshapingKeepsPlaceAndOrder() {
    let rows = Tensor([0, 1, 2, 3, 4, 5, 6, 7], shape: [4, 2]).rows(2..<4)
    let flat = rows.reshaped([4])
    #expect(flat.floats() == [4, 5, 6, 7])
    #expect(flat.address == rows.address)
  }

  @Test func viewsAreReferences() {
    var whole = Tensor(zeros: [2, 2])
    let alone = whole.isUniquelyReferenced()
    let viewed = withExtendedLifetime(whole.rows(0..<1)) { whole.isUniquelyReferenced() }
    let afterwards = whole.isUniquelyReferenced()
    #expect(alone && !viewed && afterwards)
  }

  @Test func borrowedMemoryGoesBackOnce() {
    let returned = Returned()
    let address = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
    defer { address.deallocate() }
    do {
      let storage = Storage(adopting: address, byteCount: 64, owner: returned)
      let tensor = Tensor(shape: [4], dtype: .float32, storage: storage)
      tensor.rows(0..<2).zero()
      #expect(returned.sizes == [])
    }
    #expect(returned.sizes == [64])
  }
}

/// What a pool gets back.
// SAFETY: the test that makes it uses it on its own thread.
private final class Returned: StorageOwner, @unchecked Sendable {
  private(set) var sizes: [Int] = []
  func recycle(_ address: UnsafeMutableRawPointer, _ byteCount: Int) { sizes.append(byteCount) }
}
