// The 4-bit format of bitsandbytes as tensors of a file, and its plain decoding. Encoding and fast
// decoding belong to backends.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

package enum BNB4Bit {
  /// The sixteen values of a 4-bit type, by code.
  ///
  /// Source: Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, appendix E (nf4).
  package static func table(_ type: FourBitType) -> [Float] {
    switch type {
    case .nf4:
      [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
        -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
        0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
      ]
    case .fp4:
      // Sign bit and three bits of twelfths; both zeros are positive.
      [0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3].map { $0 / 12 }
    }
  }

  /// The tensors that stand for the weight `name` (`….weight`) in a file, as bitsandbytes names,
  /// shapes and spells them.
  package static func tensors(
    _ name: String, _ matrix: QuantizedMatrix
  ) -> [(name: String, tensor: Tensor)] {
    var tensors: [(name: String, tensor: Tensor)] = [
      (name, matrix.packed.reshaped([matrix.packed.count, 1])),
      (name + ".quant_map", Tensor(table(matrix.spec.type), shape: [16])),
    ]
    var offset: Float?
    switch matrix.scales {
    case .plain(let absmax): tensors.append((name + ".absmax", absmax))
    case .nested(let nested):
      tensors.append((name + ".absmax", nested.codes))
      tensors.append((name + ".nested_absmax", nested.absmax))
      tensors.append((name + ".nested_quant_map", nested.map))
      offset = nested.offset
    }
    let text = stateText(matrix.shape, matrix.spec, matrix.sourceDType, offset: offset)
    tensors.append(
      (stateName(name, matrix.spec), Tensor(bytes: text, shape: [text.count], dtype: .uint8)))
    return tensors
  }

  /// What `tensors` gives, before there is a matrix. Only the state's length is not known then: it
  /// depends on how the nested offset is spelled.
  package static func declarations(
    _ name: String, _ shape: Shape, _ spec: QuantizationSpec, sourceDType: DType
  ) -> [SafetensorsWriter.Declaration] {
    let scales = spec.scaleParts(shape.count).map {
      SafetensorsWriter.Declaration("\(name).\($0.suffix)", $0.dtype, [$0.count])
    }
    // A sign, seventeen digits and two of an exponent: no float32 takes more.
    let longest = spec.doubleQuantized ? -Float.leastNormalMagnitude : nil
    let state = stateText(shape, spec, sourceDType, offset: longest)
    return [
      .init(name, .uint8, [(shape.count + 1) / 2, 1]), .init(name + ".quant_map", .float32, [16]),
    ] + scales + [.init(stateName(name, spec), atMostBytes: state.count)]
  }

  private static func stateName(_ name: String, _ spec: QuantizationSpec) -> String {
    name + FourBitState.stateMark + spec.type.rawValue
  }

  private static func stateText(
    _ shape: Shape, _ spec: QuantizationSpec, _ sourceDType: DType, offset: Float?
  ) -> [UInt8] {
    var state: [(String, JSONValue)] = [
      ("quant_type", .string(spec.type.rawValue)),
      ("blocksize", .int(spec.blockSize)),
      ("dtype", .string(sourceDType.rawValue)),
      ("shape", .list(shape.extents.map { .int($0) })),
    ]
    if let offset {
      state.append(("nested_blocksize", .int(QuantizationSpec.nestedBlockSize)))
      state.append(("nested_dtype", .string(DType.float32.rawValue)))
      // A float32 widened and then spelled as a double, as Python does.
      state.append(("nested_offset", .double(Double(offset))))
    }
    return Array(JSONWriter.text(.dictionary(state), style: .spaced).utf8)
  }

  /// Decodes elements `range` of the flattened matrix: `table[code] · absmax[i / blockSize]`,
  /// rounded to the type that the weight had.
  package static func decode(
    _ matrix: QuantizedMatrix, _ range: Range<Int>,
    into destination: UnsafeMutableBufferPointer<Float>
  ) {
    let table = table(matrix.spec.type)
    let size = matrix.spec.blockSize
    matrix.packed.withElements(UInt8.self) { packed in
      var element = range.lowerBound
      while element < range.upperBound {
        let end = min(range.upperBound, (element / size + 1) * size)
        let scale = absmax(matrix.scales, element / size)
        for index in element..<end {
          let code = packed[index / 2] >> (index % 2 == 0 ? 4 : 0) & 15
          destination[index - range.lowerBound] = matrix.sourceDType.rounded(
            table[Int(code)] * scale)
        }
        element = end
      }
    }
  }

  /// The scale of one block.
  private static func absmax(_ scales: BlockScales, _ block: Int) -> Float {
    switch scales {
    case .plain(let absmax): return absmax[flat: block]
    case .nested(let nested):
      let code = nested.codes.pointer(UInt8.self)[block]
      let group = block / QuantizationSpec.nestedBlockSize
      return nested.map[flat: Int(code)] * nested.absmax[flat: group] + nested.offset
    }
  }
}

extension DType {
  /// A float rounded to this type, ties to even.
  package func rounded(_ value: Float) -> Float {
    switch self {
    case .bfloat16: float(bfloat16: value.bfloat16Bits)
    case .float16: float(binary16: Float16(value).bitPattern)
    default: value
    }
  }
}
