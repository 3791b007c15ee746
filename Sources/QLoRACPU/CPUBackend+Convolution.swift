// Convolutions in bf16 without unrolled windows. The image lies in planes of 32 channels
// with a border of zeros, so that any 32 pixels in a row, wherever the window begins, are a step
// of a product as they lie there.
// Source: Georganas et al. 2018, "Anatomy of High-Performance Deep Learning Convolutions on SIMD
// Architectures", arXiv:1808.05567, section II, for the layout and the order of the loops.
import CQLoRAKernels
import QLoRATensor

/// Some rows of places of a window, and what it sees of the image from there.
private struct PixelBand {
  let window: ImageWindow
  /// Rows of places.
  let rows: Range<Int>

  /// Bytes of planes of a band: with a block of the weight they fill a core's cache.
  static let bytes = 2 << 20

  /// Pixels of a row with its border.
  var width: Int { window.width + 2 * window.padding }
  /// Places from the first to the last, and those in the border between them, which count for
  /// nothing.
  var places: Int { rows.count * width - 2 * window.padding }
  var strips: Int { (places + TokenStrips.rows - 1) / TokenStrips.rows }
  /// Elements of one plane; the last strip may read past the last row.
  var planeStride: Int {
    ((rows.count + window.size - 1) * width + TokenStrips.rows + window.size) * 32
  }
  var elements: Int { window.channels / 32 * planeStride }

  /// Rows of a band that is of the wanted size or has one row, and gives every thread some.
  static func height(_ window: ImageWindow, threads: Int) -> Int {
    let row = (window.width + 2 * window.padding) * window.channels * 2
    return max(1, min(bytes / row - window.size + 1, window.height / (2 * threads)))
  }
}

// SAFETY: bands lie in scratch of their worker's own that their sizes give, the packed weight in
// memory for whole blocks of whole steps; items write disjoint rows of the output.
extension CPUBackend {
  package func convolve(
    _ input: Tensor, _ window: ImageWindow, weight: any PreparedWeight, bias: Tensor?,
    into output: Tensor
  ) {
    guard
      let kernels = matrixKernels(for: input.dtype), window.stride == 1,
      window.size == 2 * window.padding + 1, window.channels % 32 == 0, output.dtype == .float32
    else {
      convolveUnrolled(input, window, weight: weight, bias: bias, into: output)
      return
    }
    precondition(
      input.count == window.height * window.width * window.channels
        / (window.enlargement * window.enlargement))
    precondition(weight.inFeatures == window.size * window.size * window.channels)
    precondition(output.count == window.height * window.width * weight.outFeatures)
    let packed = packConvolution(panelWeight(weight), kernels)
    let columns = packed.baseAddress.assumingMemoryBound(to: UInt16.self)
    let height = PixelBand.height(window, threads: threadPool.threads)
    let steps = MatrixBlocking.steps(weight.inFeatures)
    let blocks = MatrixBlocking.columns(of: weight.outFeatures, steps: steps, threads: 1) / 32
    let largest = PixelBand(window: window, rows: 0..<height).elements / 2
    let (storage, memory) = scratch(floats: largest + TokenStrips.rows * 32 * blocks)
    threadPool.run((window.height + height - 1) / height) { item, worker in
      let sums = memory(worker)
      let planes = UnsafeMutableRawPointer(sums + TokenStrips.rows * 32 * blocks)
        .assumingMemoryBound(to: UInt16.self)
      let band = PixelBand(
        window: window, rows: item * height..<min((item + 1) * height, window.height))
      pack(band, of: input, into: planes, kernels)
      for first in stride(from: 0, to: weight.outFeatures, by: 32 * blocks) {
        multiply(
          band, planes, columns + first / 32 * steps * QLORA_STEP_ELEMENTS,
          channels: first..<min(first + 32 * blocks, weight.outFeatures), bias, sums: sums,
          into: output, kernels)
      }
    }
    withExtendedLifetime((packed, storage)) {}
  }

  /// The whole weight as columns of the right factor.
  private func packConvolution(
    _ weight: any PanelWeight, _ kernels: qlora_matrix_kernels
  ) -> Storage {
    let block = MatrixBlocking.steps(weight.inFeatures) * QLORA_STEP_ELEMENTS
    let blocks = (weight.outFeatures + 31) / 32
    let storage = storagePool.borrow(blocks * block * 2)
    let columns = storage.baseAddress.assumingMemoryBound(to: UInt16.self)
    let (panels, memory) = scratch(floats: 16 * (weight.inFeatures + 16))
    threadPool.run(blocks) { item, worker in
      packRows(
        weight, rows: 32 * item..<min(32 * item + 32, weight.outFeatures),
        into: columns + item * block, panels: memory(worker), kernels)
    }
    withExtendedLifetime(panels) {}
    return storage
  }

  private func pack(
    _ band: PixelBand, of input: Tensor, into planes: UnsafeMutablePointer<UInt16>,
    _ kernels: qlora_matrix_kernels
  ) {
    let window = band.window
    let pixels = window.width / window.enlargement
    let border = 32 * window.padding
    let first = band.rows.lowerBound - window.padding
    for index in 0..<band.rows.count + window.size - 1 {
      let place = planes + index * band.width * 32
      let isInside = 0..<window.height ~= first + index
      for plane in 0..<window.channels / 32 {
        let row = place + plane * band.planeStride
        row.update(repeating: 0, count: isInside ? border : 32 * band.width)
        (row + 32 * band.width - border).update(repeating: 0, count: border)
      }
      if isInside {
        let line = (first + index) / window.enlargement * pixels
        kernels.planes_bf16(
          pixels, window.channels, input.pointer(UInt16.self) + line * window.channels,
          window.enlargement, place + border, band.planeStride)
      }
    }
  }

  /// Some output channels of all places of a band.
  private func multiply(
    _ band: PixelBand, _ planes: UnsafePointer<UInt16>, _ columns: UnsafePointer<UInt16>,
    channels: Range<Int>, _ bias: Tensor?, sums: UnsafeMutablePointer<Float>,
    into output: Tensor, _ kernels: qlora_matrix_kernels
  ) {
    let window = band.window
    let (steps, area) = (window.channels / 32, window.size * window.size)
    let blocks = (channels.count + 31) / 32
    let bias = bias.map { UnsafePointer($0.floatAddress(at: channels.lowerBound)) }
    withUnsafeTemporaryAllocation(of: qlora_matrix_part.self, capacity: area) { parts in
      for strip in 0..<band.strips {
        let start = strip * TokenStrips.rows
        for tap in 0..<area {
          let pixel = start + tap / window.size * band.width + tap % window.size
          parts[tap] = qlora_matrix_part(
            steps: steps, strip: planes + pixel * 32,
            columns: columns + tap * steps * QLORA_STEP_ELEMENTS,
            strip_stride: band.planeStride, block_stride: area * steps * QLORA_STEP_ELEMENTS)
        }
        kernels.product(area, parts.baseAddress, blocks, sums, 32 * blocks, 0)
        store(sums, band, start: start, channels: channels, bias, into: output, kernels)
      }
    }
  }

  /// Writes the sums of a strip that are of places inside of the image.
  private func store(
    _ sums: UnsafePointer<Float>, _ band: PixelBand, start: Int, channels: Range<Int>,
    _ bias: UnsafePointer<Float>?, into output: Tensor, _ kernels: qlora_matrix_kernels
  ) {
    let stride = (channels.count + 31) / 32 * 32
    let end = min(start + TokenStrips.rows, band.places)
    var place = start
    while place < end {
      let (row, column) = place.quotientAndRemainder(dividingBy: band.width)
      let count = min(band.window.width - column, end - place)
      if count > 0 {
        store(
          sums + (place - start) * stride, stride: stride, tokens: count, bias: bias,
          into: output, token: (band.rows.lowerBound + row) * band.window.width + column,
          columns: channels, kernels)
      }
      place = (row + 1) * band.width
    }
  }
}
