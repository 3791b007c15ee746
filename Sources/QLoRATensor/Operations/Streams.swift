// Rows and columns put together and taken apart: the streams of text and image that one attention
// joins, and vectors that one linear makes for several uses.

/// Where the rows of several streams lie when every sample has them side by side.
package struct StreamLayout: Sendable, Hashable {
  /// Of each stream alone: sample `s` is `bounds[s] ..< bounds[s+1]`.
  package let parts: [[Int]]
  /// Of all together.
  package let joined: [Int]

  /// - Parameter parts: bounds of as many samples each, in the order in which a sample has them.
  package init(_ parts: [[Int]]) {
    precondition(Set(parts.map(\.count)).count == 1)
    self.parts = parts
    joined = (0..<parts[0].count).map { sample in parts.reduce(0) { $0 + $1[sample] } }
  }

  /// Rows of a stream, and the place of the first of them among all.
  func pieces(of stream: Int) -> [(rows: Range<Int>, place: Int)] {
    (0..<joined.count - 1).map { sample in
      let before = parts[..<stream].reduce(0) { $0 + $1[sample + 1] - $1[sample] }
      let rows = parts[stream][sample]..<parts[stream][sample + 1]
      return (rows, joined[sample] + before)
    }
  }
}

extension Tape {
  /// Streams `[rows of the stream, width]` as one, in which each sample has its rows together.
  package func join(_ streams: [Variable], _ layout: StreamLayout) -> Variable {
    let (width, dtype) = (streams[0].value.shape[1], streams[0].value.dtype)
    let rows = layout.joined[layout.joined.count - 1]
    let joined = backend.allocate([rows, width], dtype)
    for (index, stream) in streams.enumerated() {
      backend.put(stream.value, layout.pieces(of: index), into: joined)
    }
    let result = output(joined, of: streams)
    let (places, outputPlace) = (streams.map(\.place), result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      for (index, place) in places.enumerated() where place.isWanted {
        let part = backend.allocate(place.shape, .float32)
        backend.take(layout.pieces(of: index), of: gradient, into: part)
        accumulate(part, at: place)
      }
    }
    return result
  }

  /// The inverse of `join`.
  package func separate(_ joined: Variable, _ layout: StreamLayout) -> [Variable] {
    let (width, dtype) = (joined.value.shape[1], joined.value.dtype)
    let streams = layout.parts.indices.map { index in
      let rows = layout.parts[index][layout.parts[index].count - 1]
      let stream = backend.allocate([rows, width], dtype)
      backend.take(layout.pieces(of: index), of: joined.value, into: stream)
      return output(stream, of: [joined])
    }
    recordParts(of: joined, streams) { [backend] index, part, whole in
      backend.put(part, layout.pieces(of: index), into: whole)
    }
    return streams
  }

  /// Columns of several tensors of as many rows, side by side.
  package func joinColumns(_ parts: [Variable]) -> Variable {
    let widths = parts.map { $0.value.shape[1] }
    let starts = widths.indices.map { widths[..<$0].reduce(0, +) }
    let values = parts.map(\.kept)
    let shape: Shape = [parts[0].value.shape[0], widths.reduce(0, +)]
    let dtype = parts[0].value.dtype
    let join = { [backend] in
      let joined = backend.allocate(shape, dtype)
      for (index, value) in values.enumerated() {
        backend.copyColumns(
          value(), column: 0, count: widths[index], into: joined, outputColumn: starts[index])
      }
      return joined
    }
    let result = output(join(), of: parts, remake: join)
    let (places, outputPlace) = (parts.map(\.place), result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      for (index, place) in places.enumerated() where place.isWanted {
        let part = backend.allocate(place.shape, .float32)
        backend.copyColumns(
          gradient, column: starts[index], count: widths[index], into: part, outputColumn: 0)
        accumulate(part, at: place)
      }
    }
    return result
  }

  /// The same elements under another shape.
  package func reshape(_ input: Variable, _ shape: Shape) -> Variable {
    let kept = input.kept
    let result = output(input.value.reshaped(shape), of: [input]) { kept().reshaped(shape) }
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      accumulate(gradient.reshaped(inputPlace.shape), at: inputPlace)
    }
    return result
  }

  /// Backward of parts that together are all of `whole`; those that nobody used count as zero.
  private func recordParts(
    of whole: Variable, _ parts: [Variable],
    _ put: @escaping (_ index: Int, _ part: Tensor, _ whole: Tensor) -> Void
  ) {
    guard let last = parts.last else { return }
    let (wholePlace, places) = (whole.place, parts.map(\.place))
    record(last) { [self] in
      let gradients = places.map { takeGradient(at: $0) }
      guard gradients.contains(where: { $0 != nil }) else { return }
      let gradient = backend.allocate(wholePlace.shape, .float32)
      if gradients.contains(where: { $0 == nil }) { backend.clear(gradient) }
      for (index, part) in gradients.enumerated() {
        if let part { put(index, part, gradient) }
      }
      accumulate(gradient, at: wholePlace)
    }
  }
}

extension Backend {
  fileprivate func put(
    _ stream: Tensor, _ pieces: [(rows: Range<Int>, place: Int)], into joined: Tensor
  ) {
    for piece in pieces {
      convert(
        stream.rows(piece.rows),
        into: joined.rows(piece.place..<piece.place + piece.rows.count))
    }
  }

  fileprivate func take(
    _ pieces: [(rows: Range<Int>, place: Int)], of joined: Tensor, into stream: Tensor
  ) {
    for piece in pieces {
      convert(
        joined.rows(piece.place..<piece.place + piece.rows.count),
        into: stream.rows(piece.rows))
    }
  }
}
