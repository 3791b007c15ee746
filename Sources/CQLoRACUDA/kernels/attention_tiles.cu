// Attention of bf16 activations on the matrix unit, in tiles, without a matrix of scores.
// Source: Dao 2023, "FlashAttention-2", arXiv:2307.08691. A block has 64 rows of one head, a warp
// 16 of them. Gradients of queries and of keys come from passes of their own, each sum in one
// thread and one order, so that the same inputs give the same bits.
static constexpr int tile_rows = 64, tile_threads = 128;

// MARK: Pieces of 16 × 16 out of shared memory, whose rows are `stride` elements apart

// The left factor, rows as they lie.
static __device__ inline void load_left(u32 *to, const u16 *tile, int stride, int row, int column) {
  const int lane = threadIdx.x % 32;
  load_matrices(to, tile + (row + lane % 16) * stride + column + lane / 16 * 8);
}

// The right factor that lies as [n][k].
static __device__ inline void load_right(u32 *to, const u16 *tile, int stride, int n, int k) {
  const int lane = threadIdx.x % 32;
  load_matrices(to, tile + (n + lane / 16 * 8 + lane % 8) * stride + k + lane / 8 % 2 * 8);
}

// The right factor that lies as [k][n].
static __device__ inline void load_right_across(u32 *to, const u16 *tile, int stride, int k,
                                                int n) {
  const int lane = threadIdx.x % 32;
  load_transposed(to, tile + (k + lane / 8 % 2 * 8 + lane % 8) * stride + n + lane / 16 * 8);
}

// c [16][16] += a · b; a lane has rows g and g + 8 of columns 2t, 2t + 1, 2t + 8 and 2t + 9.
static __device__ inline void multiply(float *c, const u32 *a, const u32 *b) {
  mma_bf16(c, a, b[0], b[1]);
  mma_bf16(c + 4, a, b[2], b[3]);
}

// A result as the left factor of the next product.
static __device__ inline void as_left(u32 *a, const float *c) {
  a[0] = pack_bf16(c[0], c[1]);
  a[1] = pack_bf16(c[2], c[3]);
  a[2] = pack_bf16(c[4], c[5]);
  a[3] = pack_bf16(c[6], c[7]);
}

// Which row and column of a 16 × 16 result element `i` of this lane is.
static __device__ inline int piece_row(int i) { return threadIdx.x % 32 / 4 + i / 2 % 2 * 8; }
static __device__ inline int piece_column(int i) {
  return threadIdx.x % 4 * 2 + i / 4 * 8 + i % 2;
}

// MARK: Tiles into shared memory, zeros past `end`

template <int size, int rows>
static __device__ inline void copy_tile(u16 *tile, const u16 *x, i64 row_width, int head, int first,
                                        int end) {
  for (int i = threadIdx.x; i < rows * size / 8; i += tile_threads) {
    const int row = i / (size / 8), column = i % (size / 8) * 8;
    const bool is_there = first + row < end;
    const i64 from = (i64)(is_there ? first + row : 0) * row_width + head * size + column;
    copy_async(tile + row * (size + 8) + column, x + from, is_there);
  }
}

// The same from float32, rounded.
template <int size, int rows>
static __device__ inline void round_tile(u16 *tile, const float *x, i64 row_width, int head,
                                         int first, int end) {
  for (int i = threadIdx.x; i < rows * size / 4; i += tile_threads) {
    const int row = i / (size / 4), column = i % (size / 4) * 4;
    uint2 packed = make_uint2(0, 0);
    if (first + row < end) {
      const i64 from = (i64)(first + row) * row_width + head * size + column;
      const float4 four = *(const float4 *)(x + from);
      packed = make_uint2(pack_bf16(four.x, four.y), pack_bf16(four.z, four.w));
    }
    *(uint2 *)(tile + row * (size + 8) + column) = packed;
  }
}

// A block that has nothing to do ends with no copy under way either.
static __device__ inline void finish_copies() {
  commit_copies();
  wait_for_copies<0>();
}

struct TileShape {
  // Of queries and of keys.
  int rows, key_rows, heads, kv_heads;
  // Query row `i` stands where key row `i + offset` does; 0 in backward.
  int offset;
  float scale;
  // Of scores; 0 = none.
  float cap;
  // Keys that each query sees: from `starts`, null = the first, to before `stops`, null = its own.
  // Neither falls from a row to the next, and none of the other two.
  const int *starts;
  const int *stops;
  // Queries that see each key: from `firsts`, null = its own row, to before `ends`.
  const int *firsts;
  const int *ends;
};

static __device__ inline int first_seen(const TileShape &shape, int query) {
  return shape.starts ? shape.starts[query] : 0;
}

static __device__ inline int end_seen(const TileShape &shape, int query) {
  return shape.stops ? shape.stops[query] : query + shape.offset + 1;
}

static __device__ inline bool sees(const TileShape &shape, int query, int key) {
  return query < shape.rows && key < end_seen(shape, query) && key >= first_seen(shape, query);
}

// MARK: Forward

// What a warp knows of its 16 rows, two of which a lane has.
template <int size> struct RunningRows {
  float sums[size / 16][8];
  float largest[2], total[2];
};

// Scores, as powers of two, become weights; the sums so far shrink to the new maximum.
template <int size, int keys>
static __device__ inline void weigh(float (*scores)[8], RunningRows<size> &rows,
                                    const TileShape &shape, int query, int key) {
  const float none = bits_float(0xFF800000);
  float next[2] = {rows.largest[0], rows.largest[1]};
#pragma unroll
  for (int piece = 0; piece < keys / 16; piece++) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const bool is_seen =
          sees(shape, query + piece_row(i), key + piece * 16 + piece_column(i));
      const float power = capped(scores[piece][i] * shape.scale, shape.cap) * 1.44269504f;
      const float score = is_seen ? power : none;
      scores[piece][i] = score;
      next[i / 2 % 2] = fmaxf(next[i / 2 % 2], score);
    }
  }
  float base[2];
  for (int half = 0; half < 2; half++) {
    next[half] = fmaxf(next[half], __shfl_xor_sync(~0u, next[half], 1));
    next[half] = fmaxf(next[half], __shfl_xor_sync(~0u, next[half], 2));
    // A row that has seen no key yet: any base will do.
    base[half] = next[half] == none ? 0 : next[half];
    const float shrink = exp2f(rows.largest[half] - base[half]);
    rows.total[half] *= shrink;
    for (int piece = 0; piece < size / 16; piece++) {
      for (int i = 0; i < 4; i++) rows.sums[piece][half * 2 + i / 2 * 4 + i % 2] *= shrink;
    }
    rows.largest[half] = next[half];
  }
#pragma unroll
  for (int piece = 0; piece < keys / 16; piece++) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float weight = exp2f(scores[piece][i] - base[i / 2 % 2]);
      scores[piece][i] = weight;
      rows.total[i / 2 % 2] += weight;
    }
  }
}

template <int size>
static __device__ inline void finish_rows(RunningRows<size> &rows, u16 *out, float *log_sum_exp,
                                          const TileShape &shape, int query, int head) {
  for (int half = 0; half < 2; half++) {
    float total = rows.total[half];
    total += __shfl_xor_sync(~0u, total, 1);
    total += __shfl_xor_sync(~0u, total, 2);
    const int row = query + piece_row(half * 2);
    if (row >= shape.rows) continue;
    const float factor = total > 0 ? 1 / total : 0;
    if (log_sum_exp && threadIdx.x % 4 == 0) {
      log_sum_exp[(i64)head * shape.rows + row] =
          total > 0 ? rows.largest[half] * 0.69314718f + logf(total) : 0;
    }
    u16 *place = out + ((i64)row * shape.heads + head) * size;
    for (int piece = 0; piece < size / 16; piece++) {
      for (int part = 0; part < 2; part++) {
        const float *pair = rows.sums[piece] + part * 4 + half * 2;
        *(u32 *)(place + piece * 16 + piece_column(part * 4)) =
            pack_bf16(pair[0] * factor, pair[1] * factor);
      }
    }
  }
}

// Grid: tiles of queries (the last first, for it has the most keys), heads. `log_sum_exp` may be
// null.
template <int size, int keys>
static __device__ void attention_tile(const u16 *query, const u16 *key, const u16 *value, u16 *out,
                                      float *log_sum_exp, const TileShape &shape) {
  QLORA_DYNAMIC_SHARED(memory);
  constexpr int stride = size + 8;
  u16 *queries = (u16 *)memory, *stages = queries + tile_rows * stride;
  const int head = blockIdx.y, kv_head = head / (shape.heads / shape.kv_heads);
  const int first_query = ((int)gridDim.x - 1 - (int)blockIdx.x) * tile_rows;
  const int last_query = min(first_query + tile_rows, shape.rows) - 1;
  const int first_key = first_seen(shape, first_query), end = end_seen(shape, last_query);
  const i64 width = (i64)shape.heads * size, kv_width = (i64)shape.kv_heads * size;
  const int warp_row = threadIdx.x / 32 * 16;
  copy_tile<size, tile_rows>(queries, query, width, head, first_query, shape.rows);
  copy_tile<size, keys>(stages, key, kv_width, kv_head, first_key, end);
  copy_tile<size, keys>(stages + keys * stride, value, kv_width, kv_head, first_key, end);
  commit_copies();
  RunningRows<size> rows = {};
  rows.largest[0] = rows.largest[1] = bits_float(0xFF800000);
  int stage = 0;
  for (int at = first_key; at < end; at += keys, stage ^= 1) {
    u16 *key_tile = stages + stage * 2 * keys * stride, *value_tile = key_tile + keys * stride;
    if (at + keys < end) {
      u16 *next = stages + (stage ^ 1) * 2 * keys * stride;
      copy_tile<size, keys>(next, key, kv_width, kv_head, at + keys, end);
      copy_tile<size, keys>(next + keys * stride, value, kv_width, kv_head, at + keys, end);
    }
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();
    float scores[keys / 16][8] = {};
    for (int k = 0; k < size; k += 16) {
      u32 a[4], b[4];
      load_left(a, queries, stride, warp_row, k);
      for (int piece = 0; piece < keys / 16; piece++) {
        load_right(b, key_tile, stride, piece * 16, k);
        multiply(scores[piece], a, b);
      }
    }
    weigh<size, keys>(scores, rows, shape, first_query + warp_row, at);
    for (int piece = 0; piece < keys / 16; piece++) {
      u32 a[4], b[4];
      as_left(a, scores[piece]);
      for (int column = 0; column < size / 16; column++) {
        load_right_across(b, value_tile, stride, piece * 16, column * 16);
        multiply(rows.sums[column], a, b);
      }
    }
    __syncthreads();
  }
  finish_copies();
  finish_rows<size>(rows, out, log_sum_exp, shape, first_query + warp_row, head);
}

// MARK: Backward

struct TileInputs {
  const float *gradient;
  const u16 *query;
  const u16 *key;
  const u16 *value;
  const float *log_sum_exp;
  const float *delta;
};

// scores [16][columns] = left · rightᵀ over a head, both as [row][head].
template <int size, int columns>
static __device__ inline void multiply_heads(float (*scores)[8], const u16 *left, int row,
                                             const u16 *right) {
  constexpr int stride = size + 8;
  for (int k = 0; k < size; k += 16) {
    u32 a[4], b[4];
    load_left(a, left, stride, row, k);
    for (int piece = 0; piece < columns / 16; piece++) {
      load_right(b, right, stride, piece * 16, k);
      multiply(scores[piece], a, b);
    }
  }
}

// sums [16][width] += left [16][depth] · right, which is [depth][size] from column `first`.
template <int size, int depth, int width>
static __device__ inline void add_product(float (*sums)[8], const float (*left)[8],
                                          const u16 *right, int first) {
  constexpr int stride = size + 8;
  for (int piece = 0; piece < depth / 16; piece++) {
    u32 a[4], b[4];
    as_left(a, left[piece]);
    for (int column = 0; column < width / 16; column++) {
      load_right_across(b, right, stride, piece * 16, first + column * 16);
      multiply(sums[column], a, b);
    }
  }
}

template <int size, int width>
static __device__ inline void store_pieces(const float (*sums)[8], float factor, float *out,
                                           int heads, int head, int first_row, int rows,
                                           int first) {
  for (int piece = 0; piece < width / 16; piece++) {
    for (int i = 0; i < 8; i++) {
      const int row = first_row + piece_row(i);
      if (row >= rows) continue;
      const i64 place = ((i64)row * heads + head) * size + first + piece * 16 + piece_column(i);
      out[place] = factor * sums[piece][i];
    }
  }
}

// Grid: tiles of queries, heads, parts of `width` columns of the gradient.
template <int size, int keys, int width>
static __device__ void query_gradient_tile(const TileInputs &in, float *query_gradient,
                                           const TileShape &shape) {
  QLORA_DYNAMIC_SHARED(memory);
  constexpr int stride = size + 8;
  u16 *queries = (u16 *)memory, *gradients = queries + tile_rows * stride;
  u16 *key_tile = gradients + tile_rows * stride, *value_tile = key_tile + keys * stride;
  const int head = blockIdx.y, kv_head = head / (shape.heads / shape.kv_heads);
  const int first_query = ((int)gridDim.x - 1 - (int)blockIdx.x) * tile_rows;
  const int end = end_seen(shape, min(first_query + tile_rows, shape.rows) - 1);
  const int warp_row = threadIdx.x / 32 * 16;
  const i64 row_width = (i64)shape.heads * size, kv_width = (i64)shape.kv_heads * size;
  copy_tile<size, tile_rows>(queries, in.query, row_width, head, first_query, shape.rows);
  round_tile<size, tile_rows>(gradients, in.gradient, row_width, head, first_query, shape.rows);
  float log_sum[2], delta[2];
  for (int half = 0; half < 2; half++) {
    const int row = min(first_query + warp_row + piece_row(half * 2), shape.rows - 1);
    log_sum[half] = in.log_sum_exp[(i64)head * shape.rows + row];
    delta[half] = in.delta[(i64)head * shape.rows + row];
  }
  float sums[width / 16][8] = {};
  for (int at = first_seen(shape, first_query); at < end; at += keys) {
    copy_tile<size, keys>(key_tile, in.key, kv_width, kv_head, at, end);
    copy_tile<size, keys>(value_tile, in.value, kv_width, kv_head, at, end);
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
    float scores[keys / 16][8] = {}, changes[keys / 16][8] = {};
    multiply_heads<size, keys>(scores, queries, warp_row, key_tile);
    multiply_heads<size, keys>(changes, gradients, warp_row, value_tile);
#pragma unroll
    for (int piece = 0; piece < keys / 16; piece++) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int half = i / 2 % 2, query = first_query + warp_row + piece_row(i);
        const bool is_seen = sees(shape, query, at + piece * 16 + piece_column(i));
        const float score = capped(scores[piece][i] * shape.scale, shape.cap);
        const float weight = is_seen ? exp2f((score - log_sum[half]) * 1.44269504f) : 0;
        const float slope = weight * cap_slope(score, shape.cap);
        scores[piece][i] = is_seen ? slope * (changes[piece][i] - delta[half]) : 0;
      }
    }
    add_product<size, keys, width>(sums, scores, key_tile, blockIdx.z * width);
    __syncthreads();
  }
  finish_copies();
  store_pieces<size, width>(sums, shape.scale, query_gradient, shape.heads, head,
                            first_query + warp_row, shape.rows, blockIdx.z * width);
}

// Grid: tiles of keys, key heads, parts of `width` columns of the gradients.
template <int size, int queries, int width>
static __device__ void key_gradient_tile(const TileInputs &in, float *key_gradient,
                                         float *value_gradient, const TileShape &shape) {
  QLORA_DYNAMIC_SHARED(memory);
  constexpr int stride = size + 8;
  u16 *key_tile = (u16 *)memory, *value_tile = key_tile + tile_rows * stride;
  u16 *query_tile = value_tile + tile_rows * stride, *gradients = query_tile + queries * stride;
  const int kv_head = blockIdx.y, group = shape.heads / shape.kv_heads;
  const int first_key = blockIdx.x * tile_rows, warp_row = threadIdx.x / 32 * 16;
  const int first = shape.firsts ? shape.firsts[first_key] : first_key;
  const int end = shape.ends[min(first_key + tile_rows, shape.key_rows) - 1];
  const i64 row_width = (i64)shape.heads * size, kv_width = (i64)shape.kv_heads * size;
  copy_tile<size, tile_rows>(key_tile, in.key, kv_width, kv_head, first_key, shape.key_rows);
  copy_tile<size, tile_rows>(value_tile, in.value, kv_width, kv_head, first_key, shape.key_rows);
  float key_sums[width / 16][8] = {}, value_sums[width / 16][8] = {};
  for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
    const i64 known = (i64)head * shape.rows;
    for (int at = first; at < end; at += queries) {
      copy_tile<size, queries>(query_tile, in.query, row_width, head, at, end);
      commit_copies();
      round_tile<size, queries>(gradients, in.gradient, row_width, head, at, end);
      wait_for_copies<0>();
      __syncthreads();
      float scores[queries / 16][8] = {}, changes[queries / 16][8] = {};
      multiply_heads<size, queries>(scores, key_tile, warp_row, query_tile);
      multiply_heads<size, queries>(changes, value_tile, warp_row, gradients);
#pragma unroll
      for (int piece = 0; piece < queries / 16; piece++) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
          const int query = at + piece * 16 + piece_column(i);
          const int row = min(query, shape.rows - 1);
          const bool is_seen = sees(shape, query, first_key + warp_row + piece_row(i));
          const float score = capped(scores[piece][i] * shape.scale, shape.cap);
          const float power = score - in.log_sum_exp[known + row];
          const float weight = is_seen ? exp2f(power * 1.44269504f) : 0;
          scores[piece][i] = weight;
          // Of a key that nobody sees the value may be anything, a NaN too.
          const float slope = weight * cap_slope(score, shape.cap);
          changes[piece][i] =
              is_seen ? slope * (changes[piece][i] - in.delta[known + row]) : 0;
        }
      }
      add_product<size, queries, width>(value_sums, scores, gradients, blockIdx.z * width);
      add_product<size, queries, width>(key_sums, changes, query_tile, blockIdx.z * width);
      __syncthreads();
    }
  }
  finish_copies();
  store_pieces<size, width>(key_sums, shape.scale, key_gradient, shape.kv_heads, kv_head,
                            first_key + warp_row, shape.key_rows, blockIdx.z * width);
  store_pieces<size, width>(value_sums, 1, value_gradient, shape.kv_heads, kv_head,
                            first_key + warp_row, shape.key_rows, blockIdx.z * width);
}

// MARK: Kernels for each head size; `part` is how many columns of a gradient a block has

#define QLORA_ATTENTION(size, keys, part)                                                          \
  QLORA_KERNEL(128, qlora_attention_tile_##size, const u16 *query, const u16 *key,                 \
               const u16 *value, u16 *out, float *log_sum_exp, TileShape shape) {                  \
    attention_tile<size, keys>(query, key, value, out, log_sum_exp, shape);                        \
  }                                                                                                \
  QLORA_KERNEL(128, qlora_attention_tile_queries_##size, TileInputs in, float *query_gradient,     \
               TileShape shape) {                                                                  \
    query_gradient_tile<size, 32, part>(in, query_gradient, shape);                                \
  }                                                                                                \
  QLORA_KERNEL(128, qlora_attention_tile_keys_##size, TileInputs in, float *key_gradient,          \
               float *value_gradient, TileShape shape) {                                           \
    key_gradient_tile<size, 32, part>(in, key_gradient, value_gradient, shape);                    \
  }

QLORA_ATTENTION(64, 64, 64)
QLORA_ATTENTION(96, 64, 96)
QLORA_ATTENTION(128, 64, 128)
QLORA_ATTENTION(256, 32, 128)
