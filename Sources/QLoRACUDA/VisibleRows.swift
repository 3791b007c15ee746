// Who sees whom in an attention, row by row: what masks, packed sequences, windows and spans come
// down to on the device.
import QLoRATensor

/// Keys that each query sees and queries that see each key. No bound falls from a row to the next,
/// as tiles rely on.
struct VisibleRows {
  /// The first key that each query sees; nil = the first of all.
  let starts: Tensor?
  /// The end of the keys that each query sees; nil = behind its own place.
  var stops: Tensor?
  /// The first query that sees each key; nil = that of the key's own row.
  var firsts: Tensor?
  /// The end of the queries that see each key; nil where nobody asks for gradients.
  var ends: Tensor?
  /// The key row that each query stands at, from which distances count; nil where none counts.
  var stands: Tensor?
  /// Query row `i` stands where key row `i + offset` does.
  var offset = 0

  /// A sequence's own rows: all of them, those up to each row, or what a window leaves of these.
  init(_ bounds: [Int], rows: Int, _ layout: AttentionLayout, _ integers: DeviceIntegers<Int32>) {
    precondition(layout.isCausal || layout.window == 0, "a window without a mask")
    var starts = [Int32](repeating: 0, count: rows)
    var ends = [Int32](repeating: Int32(rows), count: rows)
    let window = layout.window
    for (start, end) in zip(bounds, bounds.dropFirst()) {
      for row in start..<end {
        starts[row] = Int32(window > 0 ? max(start, row + 1 - window) : start)
        ends[row] = Int32(window > 0 ? min(end, row + window) : end)
      }
    }
    self.starts = integers.tensor(starts)
    self.ends = integers.tensor(ends)
    if !layout.isCausal { (stops, firsts) = (self.ends, self.starts) }
  }

  /// New rows that meet a cache, each at its own place.
  init(
    newRows rows: Int, behind offset: Int, _ layout: AttentionLayout,
    _ integers: DeviceIntegers<Int32>
  ) {
    let window = layout.window
    let isCut = window > 0 && window < rows + offset
    starts =
      isCut ? integers.tensor((0..<rows).map { Int32(max(0, $0 + offset + 1 - window)) }) : nil
    self.offset = offset
  }

  /// Queries of one sequence and keys of another.
  init(
    _ spans: AttentionSpans, keyRows: Int, _ layout: AttentionLayout,
    _ integers: DeviceIntegers<Int32>
  ) {
    let rows = spans.queries.last ?? 0
    var (starts, stops, stands): ([Int32], [Int32], [Int32]) = ([], [], [])
    // Keys behind the last sequence are seen by nobody.
    var firsts = [Int32](repeating: Int32(rows), count: keyRows)
    var ends = firsts
    for sequence in 0..<max(0, spans.queries.count - 1) {
      let queries = spans.queries[sequence]..<spans.queries[sequence + 1]
      let keys = spans.keys[sequence]..<spans.keys[sequence + 1]
      for row in queries {
        let place = keys.lowerBound + row - queries.lowerBound + spans.offset
        let stop = layout.isCausal ? min(keys.upperBound, place + 1) : keys.upperBound
        starts.append(Int32(keys.lowerBound))
        stops.append(Int32(max(keys.lowerBound, stop)))
        stands.append(Int32(place))
      }
      for (index, key) in keys.enumerated() {
        let first = queries.lowerBound + (layout.isCausal ? max(0, index - spans.offset) : 0)
        firsts[key] = Int32(min(queries.upperBound, first))
        ends[key] = Int32(queries.upperBound)
      }
    }
    self.starts = integers.tensor(starts)
    self.stops = integers.tensor(stops)
    self.firsts = integers.tensor(firsts)
    self.ends = integers.tensor(ends)
    self.stands = integers.tensor(stands)
  }
}
