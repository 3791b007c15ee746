// The pixels of a picture, and how a camera was held.

/// Red, green and blue in eight bits each, row by row.
package struct PixelBytes: Sendable, Equatable {
  /// Pictures beyond these are no training data.
  static let largestSide = 1 << 14
  static let largestArea = 1 << 26

  package var width: Int
  package var height: Int
  package var values: [UInt8]

  package init(width: Int, height: Int, values: [UInt8]) {
    self.width = width
    self.height = height
    self.values = values
  }

  /// Whether a picture of this size is read.
  static func admits(width: Int, height: Int) -> Bool {
    1...largestSide ~= width && 1...largestSide ~= height && width * height <= largestArea
  }

  /// The picture upright.
  ///
  /// - Parameter orientation: 1 to 8, where row and column 0 of the file belong: 1 top and left, 2
  ///   top and right, 3 bottom and right, 4 bottom and left, and 5 to 8 those with rows for
  ///   columns; anything else counts as 1.
  ///   Source: CIPA 2012, "Exchangeable image file format 2.3", section 4.6.4.
  package func upright(_ orientation: Int) -> PixelBytes {
    guard 2...8 ~= orientation else { return self }
    let isTurned = orientation >= 5
    let mirrorsColumns = [2, 3, 7, 8].contains(orientation)
    let mirrorsRows = [3, 4, 6, 7].contains(orientation)
    var result = PixelBytes(
      width: isTurned ? height : width, height: isTurned ? width : height,
      values: [UInt8](repeating: 0, count: values.count))
    var place = 0
    for row in 0..<result.height {
      for column in 0..<result.width {
        var (y, x) = isTurned ? (column, row) : (row, column)
        if mirrorsRows { y = height - 1 - y }
        if mirrorsColumns { x = width - 1 - x }
        let from = 3 * (y * width + x)
        for channel in 0..<3 { result.values[place + channel] = values[from + channel] }
        place += 3
      }
    }
    return result
  }
}
