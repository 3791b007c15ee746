// Rows of a weight decoded: for look-ups, and for products that cuBLASLt computes.
import CQLoRACUDA
import QLoRATensor

extension CUDABackend {
  package func decode(_ weight: any PreparedWeight, rows: Range<Int>, into output: Tensor) {
    precondition(output.count == rows.count * weight.inFeatures)
    let target = DeviceMatrix(
      address: write(output), dtype: output.dtype, stride: weight.inFeatures)
    decode(deviceWeight(weight), rows: rows, into: target)
  }

  package func embedding(
    _ tokens: [Int32], _ table: any PreparedWeight, into output: Tensor
  ) {
    let weight = deviceWeight(table)
    precondition(tokens.allSatisfy { $0 >= 0 && Int($0) < weight.outFeatures })
    let target = DeviceMatrix(
      address: write(output), dtype: output.dtype, stride: weight.inFeatures)
    if let recorded = recordedToken(tokens) {
      return decode(weight, named: recorded, first: 0, count: 1, into: target)
    }
    let rows = integers.tensor(tokens)
    decode(weight, named: read(rows), first: 0, count: tokens.count, into: target)
  }

  /// `target [rows.count][in]`.
  func decode(_ weight: CUDAWeight, rows: Range<Int>, into target: DeviceMatrix) {
    decode(weight, named: 0, first: rows.lowerBound, count: rows.count, into: target)
  }

  /// - Parameter named: the addresses of the rows' numbers; 0 = they follow `first`.
  private func decode(
    _ weight: CUDAWeight, named: DeviceAddress, first: Int, count: Int, into target: DeviceMatrix
  ) {
    let columns = weight.inFeatures
    // Of named rows, which are few, a copy of the whole weight would be a waste.
    let read = named == 0 ? read : readInPlace
    let takesEights =
      columns % 8 == 0 && target.stride % 8 == 0 && target.address % 16 == 0
      && target.dtype != .float16
    let place: [any KernelArgument] = [named, first, target.address]
    let extent: [any KernelArgument] = [target.stride, count, columns]
    let ending = place + [target.dtype.element] + extent
    switch weight.content {
    case .dense(let values):
      launch(
        "qlora_decode_dense", over: count * columns,
        [read(values), values.dtype.element] + ending)
    case .int8(let matrix, _):
      launch(
        takesEights ? "qlora_decode_8bit_eights" : "qlora_decode_8bit",
        over: takesEights ? count * columns / 8 : count * columns,
        [read(matrix.codes), read(matrix.scales)] + ending)
    case .fourBit(let matrix):
      // On an H200 sixteen by a thread were faster in bf16, eight in float32.
      if takesEights, target.dtype == .bfloat16, columns % 16 == 0 {
        launch(
          "qlora_decode_4bit_wide", over: count * columns / 16,
          [argument(matrix, read)] + place + extent)
      } else {
        launch(
          takesEights ? "qlora_decode_4bit_eights" : "qlora_decode_4bit",
          over: takesEights ? count * columns / 8 : count * columns,
          [argument(matrix, read)] + ending)
      }
    }
  }

  /// A 4-bit weight as kernels take it.
  func argument(
    _ matrix: QuantizedMatrix, _ read: (Tensor) -> DeviceAddress
  ) -> qlora_cuda_four_bit {
    var argument = qlora_cuda_four_bit()
    argument.packed = read(matrix.packed)
    argument.table = read(tables.values(matrix.spec.type))
    argument.block_shift = Int32(matrix.spec.blockSize.trailingZeroBitCount)
    switch matrix.scales {
    case .plain(let absmax): argument.absmax = read(absmax)
    case .nested(let nested):
      argument.codes = read(nested.codes)
      argument.absmax = read(nested.absmax)
      argument.map = read(nested.map)
      argument.offset = nested.offset
    }
    return argument
  }

  /// The whole weight as `[out][in]` of `dtype`: its own memory where it lies so, else `scratch`,
  /// which must outlive the use.
  func whole(_ weight: CUDAWeight, _ dtype: DType, scratch: inout Tensor?) -> DeviceMatrix {
    if case .dense(let values) = weight.content, values.dtype == dtype { return matrix(values) }
    let decoded = allocate([weight.outFeatures, weight.inFeatures], dtype)
    scratch = decoded
    let target = writable(decoded)
    decode(weight, rows: 0..<weight.outFeatures, into: target)
    return target
  }
}
