// Attention of bf16 activations on the matrix unit, in tiles, without a matrix of scores.
// Source: Dao 2023, "FlashAttention-2", arXiv:2307.08691. Gradients of queries and of keys come
// from passes of their own, each sum in one thread and one order, so that the same inputs give the
// same bits.
static constexpr int tile_warps = 4, tile_threads = 32 * tile_warps;

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

// What a warp has of a result of 16 · `parts` rows and `columns` columns.
template <int parts, int columns> struct Pieces {
  float at[parts][columns / 16][8];
};

// sums += left · rightᵀ over a head, both as [row][head]; `row` is the warp's first of the left.
template <int size, int parts, int columns>
static __device__ inline void multiply_heads(Pieces<parts, columns> &sums, const u16 *left,
                                             int row, const u16 *right) {
  constexpr int stride = size + 8;
#pragma unroll
  for (int k = 0; k < size; k += 16) {
    u32 a[parts][4], b[4];
#pragma unroll
    for (int part = 0; part < parts; part++) load_left(a[part], left, stride, row + part * 16, k);
#pragma unroll
    for (int piece = 0; piece < columns / 16; piece++) {
      load_right(b, right, stride, piece * 16, k);
#pragma unroll
      for (int part = 0; part < parts; part++) multiply(sums.at[part][piece], a[part], b);
    }
  }
}

// sums += left · right, which is [depth][size], from its column `first` on.
template <int size, int parts, int depth, int columns>
static __device__ inline void add_product(Pieces<parts, columns> &sums,
                                          const Pieces<parts, depth> &left, const u16 *right,
                                          int first) {
  constexpr int stride = size + 8;
#pragma unroll
  for (int piece = 0; piece < depth / 16; piece++) {
    u32 a[parts][4], b[4];
#pragma unroll
    for (int part = 0; part < parts; part++) as_left(a[part], left.at[part][piece]);
#pragma unroll
    for (int column = 0; column < columns / 16; column++) {
      load_right_across(b, right, stride, piece * 16, first + column * 16);
#pragma unroll
      for (int part = 0; part < parts; part++) multiply(sums.at[part][column], a[part], b);
    }
  }
}

// MARK: Tiles into shared memory, zeros past `end`

// By `tile_threads` threads, of which this is number `thread`.
template <int size, int rows>
static __device__ inline void copy_tile(u16 *tile, const u16 *x, i64 row_width, int head, int first,
                                        int end, int thread) {
#pragma unroll
  for (int i = thread; i < rows * size / 8; i += tile_threads) {
    const int row = i / (size / 8), column = i % (size / 8) * 8;
    const bool is_there = first + row < end;
    const i64 from = (i64)(is_there ? first + row : 0) * row_width + head * size + column;
    copy_async(tile + row * (size + 8) + column, x + from, is_there);
  }
}

// Of all threads of a block, after every copy that they began.
static __device__ inline void meet_copies() {
  wait_for_copies<0>();
  __syncthreads();
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

static __device__ inline int first_seeing(const TileShape &shape, int key) {
  return shape.firsts ? shape.firsts[key] : key;
}

static __device__ inline bool sees(const TileShape &shape, int query, int key) {
  return query < shape.rows && key < end_seen(shape, query) && key >= first_seen(shape, query);
}

// What rows of a warp or a block have to do with those that pass by: with none outside of
// `first … end`, and all of them with each between `whole_first` and `whole_end`.
struct PassingRange {
  int first, end, whole_first, whole_end;

  __device__ bool meets(int at, int count) const { return at < end && at + count > first; }
  __device__ bool is_whole(int at, int count) const {
    return at >= whole_first && at + count <= whole_end;
  }
};

// The keys of queries `first …`, of which there are at most `count`.
static __device__ inline PassingRange keys_of(const TileShape &shape, int first, int count) {
  if (first >= shape.rows) return {0, 0, 0, 0};
  const int last = min(first + count, shape.rows) - 1;
  return {first_seen(shape, first), end_seen(shape, last), first_seen(shape, last),
          end_seen(shape, first)};
}

// The queries of keys `first …`, of which there are at most `count`.
static __device__ inline PassingRange queries_of(const TileShape &shape, int first, int count) {
  if (first >= shape.key_rows) return {0, 0, 0, 0};
  const int last = min(first + count, shape.key_rows) - 1;
  return {first_seeing(shape, first), shape.ends[last], first_seeing(shape, last),
          shape.ends[first]};
}

// Scores in units of which a power of two is the weight.
static constexpr float log2_e = 1.44269504f, log_2 = 0.69314718f;

// Raw products become scores where they are capped; else `weight_factor` does all.
template <int parts, int columns>
static __device__ inline void cap_scores(Pieces<parts, columns> &scores, const TileShape &shape) {
  if (shape.cap == 0) return;
#pragma unroll
  for (int part = 0; part < parts; part++) {
#pragma unroll
    for (int piece = 0; piece < columns / 16; piece++) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        float &score = scores.at[part][piece][i];
        score = capped(score * shape.scale, shape.cap);
      }
    }
  }
}

static __device__ inline float weight_factor(const TileShape &shape) {
  return (shape.cap == 0 ? shape.scale : 1) * log2_e;
}

// MARK: Forward

// What a warp knows of its rows, two of which a lane has in each part.
template <int size, int parts> struct RunningRows {
  Pieces<parts, size> sums;
  float largest[parts][2], total[parts][2];
};

template <int parts, int keys>
static __device__ inline void hide(Pieces<parts, keys> &scores, const TileShape &shape, int query,
                                   int key) {
#pragma unroll
  for (int part = 0; part < parts; part++) {
#pragma unroll
    for (int piece = 0; piece < keys / 16; piece++) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const bool is_seen =
            sees(shape, query + part * 16 + piece_row(i), key + piece * 16 + piece_column(i));
        if (!is_seen) scores.at[part][piece][i] = bits_float(0xFF800000);
      }
    }
  }
}

// Scores of one part become weights; the sums so far shrink to the new maximum.
template <int size, int parts, int keys>
static __device__ inline void weigh(float (*scores)[8], RunningRows<size, parts> &rows, int part,
                                    float factor) {
  const float none = bits_float(0xFF800000);
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float next = none;
#pragma unroll
    for (int piece = 0; piece < keys / 16; piece++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        next = fmaxf(next, scores[piece][half * 2 + i / 2 * 4 + i % 2]);
      }
    }
    next = fmaxf(next, __shfl_xor_sync(~0u, next, 1));
    next = fmaxf(next, __shfl_xor_sync(~0u, next, 2));
    next = fmaxf(rows.largest[part][half], next * factor);
    // A row that has seen no key yet: any base will do.
    const float base = next == none ? 0 : next;
    const float shrink = power_of_two(rows.largest[part][half] - base);
    rows.largest[part][half] = next;
    float total = rows.total[part][half] * shrink;
#pragma unroll
    for (int piece = 0; piece < size / 16; piece++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        rows.sums.at[part][piece][half * 2 + i / 2 * 4 + i % 2] *= shrink;
      }
    }
#pragma unroll
    for (int piece = 0; piece < keys / 16; piece++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float &score = scores[piece][half * 2 + i / 2 * 4 + i % 2];
        score = power_of_two(__fmaf_rn(score, factor, -base));
        total += score;
      }
    }
    rows.total[part][half] = total;
  }
}

template <int size, int parts>
static __device__ inline void finish_rows(const RunningRows<size, parts> &rows, u16 *out,
                                          float *log_sum_exp, const TileShape &shape, int query,
                                          int head) {
#pragma unroll
  for (int part = 0; part < parts; part++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float total = rows.total[part][half];
      total += __shfl_xor_sync(~0u, total, 1);
      total += __shfl_xor_sync(~0u, total, 2);
      const int row = query + part * 16 + piece_row(half * 2);
      if (row >= shape.rows) continue;
      const float factor = total > 0 ? 1 / total : 0;
      if (log_sum_exp && threadIdx.x % 4 == 0) {
        log_sum_exp[(i64)head * shape.rows + row] =
            total > 0 ? rows.largest[part][half] * log_2 + logf(total) : 0;
      }
      u16 *place = out + ((i64)row * shape.heads + head) * size;
#pragma unroll
      for (int piece = 0; piece < size / 16; piece++) {
#pragma unroll
        for (int side = 0; side < 2; side++) {
          const float *pair = rows.sums.at[part][piece] + side * 4 + half * 2;
          *(u32 *)(place + piece * 16 + piece_column(side * 4)) =
              pack_bf16(pair[0] * factor, pair[1] * factor);
        }
      }
    }
  }
}

// Grid: heads, tiles of queries (the last first, for it has the most keys). Values come while
// scores are computed, and the next keys while values are added. `log_sum_exp` may be null.
template <int size, int keys, int parts>
static __device__ void attention_tile(const u16 *query, const u16 *key, const u16 *value, u16 *out,
                                      float *log_sum_exp, const TileShape &shape) {
  QLORA_DYNAMIC_SHARED(memory);
  constexpr int stride = size + 8, tile_rows = 16 * parts * tile_warps;
  u16 *queries = (u16 *)memory, *key_tile = queries + tile_rows * stride;
  u16 *value_tile = key_tile + keys * stride;
  const int thread = threadIdx.x, head = blockIdx.x;
  const int kv_head = head / (shape.heads / shape.kv_heads);
  const int first_query = ((int)gridDim.y - 1 - (int)blockIdx.y) * tile_rows;
  const PassingRange all = keys_of(shape, first_query, tile_rows);
  const int warp_row = thread / 32 * 16 * parts, own_query = first_query + warp_row;
  const PassingRange own = keys_of(shape, own_query, 16 * parts);
  const i64 width = (i64)shape.heads * size, kv_width = (i64)shape.kv_heads * size;
  const float factor = weight_factor(shape);
  copy_tile<size, tile_rows>(queries, query, width, head, first_query, shape.rows, thread);
  copy_tile<size, keys>(key_tile, key, kv_width, kv_head, all.first, all.end, thread);
  commit_copies();
  RunningRows<size, parts> rows = {};
#pragma unroll
  for (int part = 0; part < parts; part++) {
    rows.largest[part][0] = rows.largest[part][1] = bits_float(0xFF800000);
  }
  for (int at = all.first; at < all.end; at += keys) {
    meet_copies();
    copy_tile<size, keys>(value_tile, value, kv_width, kv_head, at, all.end, thread);
    commit_copies();
    const bool is_busy = own.meets(at, keys);
    Pieces<parts, keys> scores = {};
    if (is_busy) {
      multiply_heads<size, parts, keys>(scores, queries, warp_row, key_tile);
      cap_scores(scores, shape);
      if (!own.is_whole(at, keys)) hide(scores, shape, own_query, at);
#pragma unroll
      for (int part = 0; part < parts; part++) {
        weigh<size, parts, keys>(scores.at[part], rows, part, factor);
      }
    }
    meet_copies();
    if (at + keys < all.end) {
      copy_tile<size, keys>(key_tile, key, kv_width, kv_head, at + keys, all.end, thread);
    }
    commit_copies();
    if (is_busy) add_product<size, parts, keys, size>(rows.sums, scores, value_tile, 0);
  }
  wait_for_copies<0>();
  finish_rows<size, parts>(rows, out, log_sum_exp, shape, own_query, head);
}
