// Activations packed for the product kernels: tiles of 48 tokens, tokens innermost.
import CQLoRAKernels
import QLoRATensor

// SAFETY: `storage` holds `count` tiles of `columns × 48` floats; every pointer here stays in them.
/// `[tiles][columns][48]` fp32 in memory of the pool.
struct TokenTiles {
  static let width = QLORA_TILE_TOKENS

  let tokens: Int
  /// Columns of one tile, a multiple of 8; those past the packed ones are zero.
  let columns: Int
  let storage: Storage

  init(tokens: Int, columns: Int, _ pool: StoragePool) {
    self.tokens = tokens
    self.columns = (columns + 7) / 8 * 8
    storage = pool.borrow((tokens + Self.width - 1) / Self.width * self.columns * Self.width * 4)
  }

  var count: Int { (tokens + Self.width - 1) / Self.width }

  func tokens(in tile: Int) -> Int { min(Self.width, tokens - tile * Self.width) }

  /// Vectors of 16 lanes that hold tokens.
  func vectors(in tile: Int) -> Int { (tokens(in: tile) + 15) / 16 }

  subscript(tile: Int) -> UnsafeMutablePointer<Float> {
    storage.baseAddress.assumingMemoryBound(to: Float.self) + tile * columns * Self.width
  }
}

extension CPUBackend {
  /// Packs `input [tokens, columns]`, float32 or bfloat16.
  func pack(_ input: Tensor, tokens: Int, columns: Int) -> TokenTiles {
    let tiles = TokenTiles(tokens: tokens, columns: columns, storagePool)
    threadPool.run(tiles.count) { tile in
      packTile(input, tile: tile, of: tiles)
    }
    return tiles
  }

  /// Packs one tile of `input [tokens, columns]`.
  func packTile(_ input: Tensor, tile: Int, of tiles: TokenTiles) {
    let columns = input.shape[1]
    let first = tile * TokenTiles.width * columns
    let output = tiles[tile]
    switch input.dtype {
    case .float32:
      product.pack_f32(
        tiles.tokens(in: tile), columns, input.pointer(Float.self) + first, columns, output)
    case .bfloat16:
      product.pack_bf16(
        tiles.tokens(in: tile), columns, input.pointer(UInt16.self) + first, columns, output)
    default: preconditionFailure("products take float32 or bfloat16, not \(input.dtype)")
    }
    let padding = (tiles.columns - columns) * TokenTiles.width
    (output + columns * TokenTiles.width).update(repeating: 0, count: padding)
  }

  /// Writes `c [rows][48]` of a tile to columns `row...` of `output [tokens, stride]`.
  func unpack(
    _ c: UnsafePointer<Float>, tokens: Int, rows: Int, bias: UnsafePointer<Float>?,
    into output: Tensor, token: Int, row: Int, stride: Int, accumulating: Bool = false
  ) {
    let place = token * stride + row
    switch output.dtype {
    case .float32:
      product.unpack_f32(
        tokens, rows, c, bias, output.pointer(Float.self) + place, stride, accumulating ? 1 : 0)
    case .bfloat16:
      product.unpack_bf16(
        tokens, rows, c, bias, output.pointer(UInt16.self) + place, stride)
    default: preconditionFailure("products write float32 or bfloat16, not \(output.dtype)")
    }
  }

  /// `count` floats for each thread, while the storage lives.
  func scratch(floats count: Int) -> (Storage, (_ worker: Int) -> UnsafeMutablePointer<Float>) {
    let padded = (count + 15) / 16 * 16
    let storage = storagePool.borrow(threadPool.threads * padded * 4)
    let base = storage.baseAddress.assumingMemoryBound(to: Float.self)
    return (storage, { base + $0 * padded })
  }
}
