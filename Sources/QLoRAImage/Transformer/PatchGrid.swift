// Latents as rows of patches and back.
import QLoRATensor

/// A latent image `[channels, height, width]` cut into squares, row by row.
package struct PatchGrid: Sendable, Hashable {
  /// How a row orders the elements of its patch.
  package enum Order: Sendable, Hashable {
    /// Channel, then row and column.
    case channelsFirst
    /// Row and column, then channel.
    case channelsLast
  }

  package let channels: Int
  /// In patches.
  package let rows: Int
  package let columns: Int
  /// Edge of a patch.
  package let edge: Int

  package init(channels: Int, rows: Int, columns: Int, edge: Int) {
    self.channels = channels
    self.rows = rows
    self.columns = columns
    self.edge = edge
  }

  package var count: Int { rows * columns }
  package var width: Int { channels * edge * edge }

  /// `[channels, height, width]` to `[rows · columns, width]`.
  package func patches(_ latent: [Float], _ order: Order) -> [Float] {
    var patches = [Float](repeating: 0, count: latent.count)
    forEachElement(order) { latentIndex, index in patches[index] = latent[latentIndex] }
    return patches
  }

  /// The inverse.
  package func latent(_ patches: [Float], _ order: Order) -> [Float] {
    var latent = [Float](repeating: 0, count: patches.count)
    forEachElement(order) { latentIndex, index in latent[latentIndex] = patches[index] }
    return latent
  }

  private func forEachElement(_ order: Order, _ body: (_ latent: Int, _ patch: Int) -> Void) {
    let lineWidth = columns * edge
    for channel in 0..<channels {
      for y in 0..<rows * edge {
        for x in 0..<lineWidth {
          let within = y % edge * edge + x % edge
          let place =
            order == .channelsFirst
            ? channel * edge * edge + within : within * channels + channel
          body(
            (channel * rows * edge + y) * lineWidth + x,
            (y / edge * columns + x / edge) * width + place)
        }
      }
    }
  }
}
