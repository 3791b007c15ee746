// Products with few rows of bf16 on the matrix unit: from codes to sums, all rows at once. A block
// has sixteen rows of a weight, whose columns its warps share. The order within a reduction is
// free: a lane takes columns side by side, of the weight and of the input alike.
static constexpr int few_warps = 8, few_height = 16;

// Four lanes share a row of the weight, and a token; this is the place among them.
static __device__ inline int few_place() { return threadIdx.x % 4; }
static __device__ inline int few_row() { return threadIdx.x % 32 / 4; }

// The rows of a weight that a lane has, the second eight below the first. What is past the end is
// another row again, and is not stored.
static __device__ inline i64 few_begin(int row, int second, int rows, int columns) {
  return (i64)min(row + few_row() + second * 8, rows - 1) * columns;
}

// The tokens that a lane has, eight apart; one past the end is the last again, and is not stored.
template <int tiles> struct FewInput {
  const u16 *at[tiles];

  __device__ FewInput(const FewTerms &terms) {
    for (int t = 0; t < tiles; t++) {
      at[t] = (const u16 *)terms.x + (i64)min(t * 8 + few_row(), terms.tokens - 1) * terms.columns;
    }
  }

  template <int words> __device__ void load(int tile, int column, u32 *pairs) const {
    load_words<words>(at[tile] + column, pairs);
  }
};

// What both of a byte's codes mean, as bf16: [256][32], a copy for each lane of a warp, so that no
// two meet in a bank. The code is rounded, and its scale applied to sums of float32.
static constexpr int pair_copies = 32;

// A block of 256 threads fills them, each for a byte, in an order of its own: entries are as long
// as all banks are.
static __device__ inline void fill_pairs(uint4 *pairs, const float *table) {
  const u32 pair = pack_bf16(table[threadIdx.x >> 4], table[threadIdx.x & 15]);
  uint4 *mine = pairs + threadIdx.x * (pair_copies / 4);
#pragma unroll
  for (int i = 0; i < pair_copies / 4; i++) {
    mine[(i + threadIdx.x) % (pair_copies / 4)] = make_uint4(pair, pair, pair, pair);
  }
}

// A 4-bit weight whose rows are whole blocks of 64 or more: 128 columns at a time, whose halves
// have a scale each for every row, which is a lane's.
struct FewCodes {
  static constexpr int width = 128;
  const FourBit &weight;
  const uint4 *pairs;
  const float *map;
  int columns;
  const u8 *codes[2];
  // Of the row whose scale the lane has.
  u32 first_block;

  struct Piece {
    uint2 codes[2][2];
    u32 code;
    float absmax;
  };

  __device__ FewCodes(const FewTerm &term, const uint4 *pairs, const float *map, int row,
                      int columns)
      : weight(term.four_bit), pairs(pairs), map(map), columns(columns) {
    for (int second = 0; second < 2; second++) {
      codes[second] = weight.packed + few_begin(row, second, term.rows, columns) / 2
                    + few_place() * 8;
    }
    const i64 scaled = (i64)min(row + (int)(threadIdx.x % 32 / 2), term.rows - 1) * columns;
    first_block = (u32)(scaled >> weight.block_shift);
  }

  // Where a half begins; one that is past the end is the other again, with a scale of 0.
  __device__ int begin(int column, int half) const {
    return half && column + 64 < columns ? column + 64 : column;
  }

  __device__ void load(int column, Piece &piece) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int from = begin(column, half) / 2;
      piece.codes[half][0] = *(const uint2 *)(codes[0] + from);
      piece.codes[half][1] = *(const uint2 *)(codes[1] + from);
    }
    const u32 block =
        first_block + ((u32)begin(column, threadIdx.x % 2) >> weight.block_shift);
    piece.code = weight.codes ? weight.codes[block] : 0;
    piece.absmax = weight.absmax[weight.codes ? block / 256 : block];
  }

  __device__ float scale(int column, const Piece &piece) const {
    if ((int)(threadIdx.x % 2) * 64 + column >= columns) return 0;
    if (!weight.codes) return piece.absmax;
    return __fadd_rn(__fmul_rn(map[piece.code], piece.absmax), weight.offset);
  }

  __device__ u32 pair(u32 word, int byte) const {
    const u32 place = (byte == 0 ? word << 7 : word >> (byte * 8 - 7)) & 0x7F80;
    return *(const u32 *)((const u8 *)pairs + (place | threadIdx.x % pair_copies * 4));
  }

  template <int tiles>
  __device__ void add(const FewInput<tiles> &x, int column, const Piece &piece,
                      float (*sums)[4]) const {
    const float mine = scale(column, piece);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      u32 input[tiles][8];
#pragma unroll
      for (int t = 0; t < tiles; t++) {
        x.template load<8>(t, begin(column, half) + few_place() * 16, input[t]);
      }
      float products[tiles][4] = {};
#pragma unroll
      for (int step = 0; step < 4; step++) {
        const uint2 *codes = piece.codes[half];
        const u32 one = step < 2 ? codes[0].x : codes[0].y;
        const u32 other = step < 2 ? codes[1].x : codes[1].y;
        const int byte = step % 2 * 2;
        const u32 a[4] = {pair(one, byte), pair(other, byte), pair(one, byte + 1),
                          pair(other, byte + 1)};
#pragma unroll
        for (int t = 0; t < tiles; t++) {
          mma_bf16(products[t], a, input[t][step * 2], input[t][step * 2 + 1]);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float factor = __shfl_sync(~0u, mine, few_row() * 2 + i / 2 * 16 + half);
#pragma unroll
        for (int t = 0; t < tiles; t++) sums[t][i] += factor * products[t][i];
      }
    }
  }
};

// A weight in 8 bits, 64 columns at a time; sums await the rows' scales.
struct FewBytes {
  static constexpr int width = 64;
  const signed char *codes[2];

  struct Piece {
    uint4 codes[2];
  };

  __device__ FewBytes(const FewTerm &term, int row, int columns) {
    for (int second = 0; second < 2; second++) {
      codes[second] = (const signed char *)term.values
                    + few_begin(row, second, term.rows, columns) + few_place() * 16;
    }
  }

  __device__ void load(int column, Piece &piece) const {
    piece.codes[0] = *(const uint4 *)(codes[0] + column);
    piece.codes[1] = *(const uint4 *)(codes[1] + column);
  }

  // Two bytes of a word, exactly.
  static __device__ u32 two(u32 word, int pair) {
    const u32 turned = (word ^ 0x80808080) >> (pair * 16);
    const float low = bits_float(0x4B000000 | (turned & 255)) - 8388736.0f;
    const float high = bits_float(0x4B000000 | (turned >> 8 & 255)) - 8388736.0f;
    return float_bits(low) >> 16 | (float_bits(high) & 0xFFFF0000);
  }

  template <int tiles>
  __device__ void add(const FewInput<tiles> &x, int column, const Piece &piece,
                      float (*sums)[4]) const {
    u32 input[tiles][8];
#pragma unroll
    for (int t = 0; t < tiles; t++) x.template load<8>(t, column + few_place() * 16, input[t]);
    const u32 one[4] = {piece.codes[0].x, piece.codes[0].y, piece.codes[0].z, piece.codes[0].w};
    const u32 other[4] = {piece.codes[1].x, piece.codes[1].y, piece.codes[1].z, piece.codes[1].w};
#pragma unroll
    for (int step = 0; step < 4; step++) {
      const u32 a[4] = {two(one[step], 0), two(other[step], 0), two(one[step], 1),
                        two(other[step], 1)};
#pragma unroll
      for (int t = 0; t < tiles; t++) {
        mma_bf16(sums[t], a, input[t][step * 2], input[t][step * 2 + 1]);
      }
    }
  }
};

// A weight in bf16, 32 columns at a time.
struct FewPlain {
  static constexpr int width = 32;
  const u16 *values[2];

  struct Piece {
    uint4 pairs[2];
  };

  __device__ FewPlain(const FewTerm &term, int row, int columns) {
    for (int second = 0; second < 2; second++) {
      values[second] = (const u16 *)term.values + few_begin(row, second, term.rows, columns)
                     + few_place() * 8;
    }
  }

  __device__ void load(int column, Piece &piece) const {
    piece.pairs[0] = *(const uint4 *)(values[0] + column);
    piece.pairs[1] = *(const uint4 *)(values[1] + column);
  }

  template <int tiles>
  __device__ void add(const FewInput<tiles> &x, int column, const Piece &piece,
                      float (*sums)[4]) const {
    const uint4 one = piece.pairs[0], other = piece.pairs[1];
    const u32 a[2][4] = {{one.x, other.x, one.y, other.y}, {one.z, other.z, one.w, other.w}};
#pragma unroll
    for (int t = 0; t < tiles; t++) {
      u32 input[4];
      x.template load<4>(t, column + few_place() * 8, input);
      mma_bf16(sums[t], a[0], input[0], input[1]);
      mma_bf16(sums[t], a[1], input[2], input[3]);
    }
  }
};

// The warp's share of the columns: pieces are on their way while others are added. `prepare` is
// done while the first ones are.
template <int ahead, int tiles, typename Weight, typename Prepare>
static __device__ inline void few_sums(const Weight &weight, const FewTerms &terms,
                                       const Prepare &prepare, float (*sums)[4]) {
  constexpr int step = few_warps * Weight::width;
  const int columns = terms.columns;
  const FewInput<tiles> x(terms);
  typename Weight::Piece now[ahead], next[ahead];
  const auto load = [&](int column) {
#pragma unroll
    for (int i = 0; i < ahead; i++) {
      if (column + i * step < columns) weight.load(column + i * step, next[i]);
    }
  };
  int column = (int)(threadIdx.x / 32) * Weight::width;
  load(column);
  prepare();
  for (; column < columns; column += ahead * step) {
#pragma unroll
    for (int i = 0; i < ahead; i++) now[i] = next[i];
    load(column + ahead * step);
#pragma unroll
    for (int i = 0; i < ahead; i++) {
      const int place = column + i * step;
      if (place < columns) weight.template add<tiles>(x, place, now[i], sums);
    }
  }
}

// Adds what the warps have, in their order, and stores sixteen rows for all tokens.
template <int tiles>
static __device__ inline void join_few(const FewTerms &terms, const FewTerm &term, int row,
                                       const float (*sums)[4]) {
  __shared__ float parts[few_warps][tiles * 8][few_height];
  const int warp = threadIdx.x / 32;
#pragma unroll
  for (int t = 0; t < tiles; t++) {
    for (int i = 0; i < 4; i++) {
      parts[warp][t * 8 + few_place() * 2 + i % 2][few_row() + i / 2 * 8] = sums[t][i];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < terms.tokens * few_height; i += few_warps * 32) {
    const int token = i / few_height, place = row + i % few_height;
    if (place >= term.rows) continue;
    float sum = 0;
    for (int w = 0; w < few_warps; w++) sum += parts[w][token][i % few_height];
    if (term.scales) sum *= term.scales[place] * (1 / 127.0f);
    store_element(term.out, term.out_type, (i64)token * term.rows + place,
                  sum + few_ending(term.ending, token, place));
  }
}

// A block's sixteen rows. `weigh` gives the weight from a row on.
template <int ahead, int tiles, typename Weigh, typename Prepare>
static __device__ inline void few_matrix(const FewTerms &terms, const Weigh &weigh,
                                         const Prepare &prepare) {
  const FewTerm &term = terms.at[blockIdx.y];
  const int row = blockIdx.x * few_height;
  if (row >= term.rows) return;
  float sums[tiles][4] = {};
  few_sums<ahead, tiles>(weigh(term, row), terms, prepare, sums);
  join_few<tiles>(terms, term, row, sums);
}

// out [tokens][rows] = x · Wᵀ + ending. Grid: sixteens of the most rows that a term has; terms.
// How many pieces are on their way, and how many blocks a multiprocessor shall hold, was the
// fastest of several pairs on an H200 for the products of a block of the 8B shape: with codes for 4
// and 16 rows, and within some percent for one.
#define QLORA_FEW_MATRIX(tiles)                                                                \
  QLORA_KERNEL_OF(256, 3, qlora_few_matrix_4bit_##tiles,                                       \
                  const __grid_constant__ FewTerms terms) {                                    \
    __shared__ uint4 pairs[256 * pair_copies / 4];                                             \
    __shared__ float map[256];                                                                 \
    few_matrix<1, tiles>(                                                                      \
        terms,                                                                                 \
        [&](const FewTerm &term, int row) {                                                    \
          return FewCodes(term, pairs, map, row, terms.columns);                               \
        },                                                                                     \
        [&] {                                                                                  \
          const FourBit &weight = terms.at[blockIdx.y].four_bit;                               \
          fill_pairs(pairs, weight.table);                                                     \
          if (weight.codes) map[threadIdx.x] = weight.map[threadIdx.x];                        \
          __syncthreads();                                                                     \
        });                                                                                    \
  }                                                                                            \
  QLORA_KERNEL_OF(256, 3, qlora_few_matrix_8bit_##tiles,                                       \
                  const __grid_constant__ FewTerms terms) {                                    \
    few_matrix<2, tiles>(                                                                      \
        terms,                                                                                 \
        [&](const FewTerm &term, int row) { return FewBytes(term, row, terms.columns); },      \
        [] {});                                                                                \
  }                                                                                            \
  QLORA_KERNEL_OF(256, 2, qlora_few_matrix_dense_##tiles,                                      \
                  const __grid_constant__ FewTerms terms) {                                    \
    few_matrix<4, tiles>(                                                                      \
        terms,                                                                                 \
        [&](const FewTerm &term, int row) { return FewPlain(term, row, terms.columns); },      \
        [] {});                                                                                \
  }

QLORA_FEW_MATRIX(1)
QLORA_FEW_MATRIX(2)
