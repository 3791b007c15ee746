// The gradients of attention in tiles: those of queries, and those of keys and values, in passes of
// their own.

struct TileInputs {
  const u16 *gradient;
  const u16 *query;
  const u16 *key;
  const u16 *value;
  const float *log_sum_exp;
  const float *delta;
};

// What backward knows of a query: its log sum, as a power of two, and its delta.
// Of the rows of the left factor, two of which a lane has.
struct LaneQueries {
  static constexpr bool are_left = true;
  float2 known[2];

  __device__ float2 of(int, int i) const { return known[i / 2 % 2]; }
};

// Of the rows of a tile that is the right factor: in the padding behind each.
template <int size> struct TileQueries {
  static constexpr bool are_left = false;
  u16 *tile;

  __device__ float2 &row(int row) const {
    return *(float2 *)(tile + row * (size + 8) + size);
  }
  __device__ float2 of(int piece, int i) const { return row(piece * 16 + piece_column(i)); }
};

// Scores become weights and `changes` (of the weights) gradients of the scores.
template <bool is_capped, typename Queries, int columns>
static __device__ inline void differentiate(Pieces<1, columns> &scores,
                                            Pieces<1, columns> &changes, const TileShape &shape,
                                            const Queries &queries) {
  const float factor = (is_capped ? 1 : shape.scale) * log2_e;
#pragma unroll
  for (int piece = 0; piece < columns / 16; piece++) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float2 query = queries.of(piece, i);
      float &score = scores.at[0][piece][i], &change = changes.at[0][piece][i];
      if (is_capped) score = capped(score * shape.scale, shape.cap);
      const float weight = power_of_two(__fmaf_rn(score, factor, -query.x));
      change = weight * (change - query.y);
      if (is_capped) change *= cap_slope(score, shape.cap);
      score = weight;
    }
  }
}

// Both are 0 where a query does not see a key, whose value may then be anything, a NaN too. `left`
// and `right` are the first rows of the factors.
template <typename Queries, int columns>
static __device__ inline void hide_pairs(Pieces<1, columns> &weights, Pieces<1, columns> &changes,
                                         const TileShape &shape, int left, int right) {
#pragma unroll
  for (int piece = 0; piece < columns / 16; piece++) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int row = left + piece_row(i), column = right + piece * 16 + piece_column(i);
      const int query = Queries::are_left ? row : column;
      if (!sees(shape, query, Queries::are_left ? column : row)) {
        weights.at[0][piece][i] = changes.at[0][piece][i] = 0;
      }
    }
  }
}

template <typename Queries, int columns>
static __device__ inline void differentiate(Pieces<1, columns> &scores,
                                            Pieces<1, columns> &changes, const TileShape &shape,
                                            int left, int right, bool is_whole,
                                            const Queries &queries) {
  if (shape.cap == 0) {
    differentiate<false>(scores, changes, shape, queries);
  } else {
    differentiate<true>(scores, changes, shape, queries);
  }
  if (!is_whole) hide_pairs<Queries>(scores, changes, shape, left, right);
}

template <int size, int width>
static __device__ inline void store_pieces(const Pieces<1, width> &sums, float factor, float *out,
                                           int heads, int head, int first_row, int rows,
                                           int first) {
#pragma unroll
  for (int piece = 0; piece < width / 16; piece++) {
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
      const int row = first_row + piece_row(i);
      if (row >= rows) continue;
      const i64 place = ((i64)row * heads + head) * size + first + piece * 16 + piece_column(i);
      const float *pair = sums.at[0][piece] + i;
      *(float2 *)(out + place) = make_float2(factor * pair[0], factor * pair[1]);
    }
  }
}

// Grid: heads, tiles of queries, parts of `width` columns of the gradient. With two `stages` the
// next keys come while these are used.
template <int size, int keys, int width, int stages>
static __device__ void query_gradient_tile(const TileInputs &in, float *query_gradient,
                                           const TileShape &shape) {
  QLORA_DYNAMIC_SHARED(memory);
  constexpr int stride = size + 8, tile_rows = 16 * tile_warps;
  u16 *queries = (u16 *)memory, *gradients = queries + tile_rows * stride;
  u16 *key_tiles = gradients + tile_rows * stride;
  u16 *value_tile = key_tiles + stages * keys * stride;
  const int thread = threadIdx.x, head = blockIdx.x;
  const int kv_head = head / (shape.heads / shape.kv_heads);
  const int first_query = ((int)gridDim.y - 1 - (int)blockIdx.y) * tile_rows;
  const PassingRange all = keys_of(shape, first_query, tile_rows);
  const int warp_row = thread / 32 * 16, own_query = first_query + warp_row;
  const PassingRange own = keys_of(shape, own_query, 16);
  const i64 row_width = (i64)shape.heads * size, kv_width = (i64)shape.kv_heads * size;
  copy_tile<size, tile_rows>(queries, in.query, row_width, head, first_query, shape.rows, thread);
  copy_tile<size, tile_rows>(gradients, in.gradient, row_width, head, first_query, shape.rows,
                             thread);
  copy_tile<size, keys>(key_tiles, in.key, kv_width, kv_head, all.first, all.end, thread);
  copy_tile<size, keys>(value_tile, in.value, kv_width, kv_head, all.first, all.end, thread);
  commit_copies();
  LaneQueries known;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const i64 row = (i64)head * shape.rows + min(own_query + piece_row(half * 2), shape.rows - 1);
    known.known[half] = make_float2(in.log_sum_exp[row] * log2_e, in.delta[row]);
  }
  Pieces<1, width> sums = {};
  int stage = 0;
  for (int at = all.first; at < all.end; at += keys) {
    const bool is_last = at + keys >= all.end, is_busy = own.meets(at, keys);
    u16 *key_tile = key_tiles + stage * keys * stride;
    stage = stages - 1 - stage;
    u16 *next_tile = key_tiles + stage * keys * stride;
    meet_copies();
    if (stages == 2 && !is_last) {
      copy_tile<size, keys>(next_tile, in.key, kv_width, kv_head, at + keys, all.end, thread);
      commit_copies();
    }
    Pieces<1, keys> scores = {}, changes = {};
    if (is_busy) {
      multiply_heads<size, 1, keys>(changes, gradients, warp_row, value_tile);
      multiply_heads<size, 1, keys>(scores, queries, warp_row, key_tile);
    }
    __syncthreads();
    if (!is_last) {
      copy_tile<size, keys>(value_tile, in.value, kv_width, kv_head, at + keys, all.end, thread);
      commit_copies();
    }
    if (is_busy) {
      differentiate(scores, changes, shape, own_query, at, own.is_whole(at, keys), known);
      add_product<size, 1, keys, width>(sums, changes, key_tile, blockIdx.z * width);
    }
    if (stages == 1 && !is_last) {
      __syncthreads();
      copy_tile<size, keys>(next_tile, in.key, kv_width, kv_head, at + keys, all.end, thread);
      commit_copies();
    }
  }
  wait_for_copies<0>();
  store_pieces<size, width>(sums, shape.scale, query_gradient, shape.heads, head, own_query,
                            shape.rows, blockIdx.z * width);
}

// What one group of warps has in shared memory of the queries that pass by.
template <int size, int queries, int stages> struct QueryTiles {
  // In elements.
  static constexpr int tile = queries * (size + 8), count = (stages + 1) * tile;

  u16 *at;

  __device__ u16 *query(int stage) const { return at + stage * tile; }
  __device__ u16 *gradient() const { return at + stages * tile; }
};

// Which queries of which head a step of a group of warps is about.
struct QueryStep {
  int head, at;
};

// Grid: key heads, tiles of keys, parts of `width` columns of the gradients. `groups` of four warps
// each have the same 64 keys and take turns in the queries of the key head's heads; their sums are
// added in the end. With two `stages` the next queries come while these are used.
template <int size, int queries, int width, int groups, int stages>
static __device__ void key_gradient_tile(const TileInputs &in, float *key_gradient,
                                         float *value_gradient, const TileShape &shape) {
  QLORA_DYNAMIC_SHARED(memory);
  constexpr int stride = size + 8, tile_rows = 16 * tile_warps;
  u16 *key_tile = (u16 *)memory, *value_tile = key_tile + tile_rows * stride;
  const int thread = threadIdx.x % tile_threads, group = threadIdx.x / tile_threads;
  const QueryTiles<size, queries, stages> tiles = {
      value_tile + tile_rows * stride + group * QueryTiles<size, queries, stages>::count};
  const int kv_head = blockIdx.x, shared_heads = shape.heads / shape.kv_heads;
  const int first_key = blockIdx.y * tile_rows, warp_row = thread / 32 * 16;
  const PassingRange all = queries_of(shape, first_key, tile_rows);
  const PassingRange own = queries_of(shape, first_key + warp_row, 16);
  const i64 row_width = (i64)shape.heads * size, kv_width = (i64)shape.kv_heads * size;
  const int spans = max(0, all.end - all.first + queries - 1) / queries;
  const int steps = spans * shared_heads;
  auto step_at = [&](int index) {
    return QueryStep{kv_head * shared_heads + index / max(1, spans),
                     all.first + index % max(1, spans) * queries};
  };
  auto copy_queries = [&](int index, int stage) {
    if (index >= steps) return;
    const QueryStep step = step_at(index);
    copy_tile<size, queries>(tiles.query(stage), in.query, row_width, step.head, step.at, all.end,
                             thread);
    commit_copies();
    if (thread < queries) {
      const i64 row = (i64)step.head * shape.rows + min(step.at + thread, shape.rows - 1);
      TileQueries<size>{tiles.query(stage)}.row(thread) =
          make_float2(in.log_sum_exp[row] * log2_e, in.delta[row]);
    }
  };
  auto copy_gradients = [&](int index) {
    if (index >= steps) return;
    const QueryStep step = step_at(index);
    copy_tile<size, queries>(tiles.gradient(), in.gradient, row_width, step.head, step.at, all.end,
                             thread);
    commit_copies();
  };
  if (group == 0) {
    copy_tile<size, tile_rows>(key_tile, in.key, kv_width, kv_head, first_key, shape.key_rows,
                               thread);
    copy_tile<size, tile_rows>(value_tile, in.value, kv_width, kv_head, first_key, shape.key_rows,
                               thread);
    commit_copies();
  }
  copy_queries(group, 0);
  copy_gradients(group);
  // Only the keys and values are everybody's: afterwards each group goes at its own pace.
  meet_copies();
  auto meet = [&] { group_barrier(group + 1, tile_threads); };
  Pieces<1, width> key_sums = {}, value_sums = {};
  int stage = 0;
  for (int turn = 0; turn < steps; turn += groups) {
    const int index = turn + group, next = index + groups;
    const int at = step_at(index).at;
    const bool is_busy = index < steps && own.meets(at, queries);
    const int now = stage;
    stage = stages - 1 - stage;
    wait_for_copies<0>();
    meet();
    if (stages == 2) copy_queries(next, stage);
    Pieces<1, queries> scores = {}, changes = {};
    if (is_busy) {
      multiply_heads<size, 1, queries>(scores, key_tile, warp_row, tiles.query(now));
      multiply_heads<size, 1, queries>(changes, value_tile, warp_row, tiles.gradient());
      differentiate(scores, changes, shape, first_key + warp_row, at, own.is_whole(at, queries),
                    TileQueries<size>{tiles.query(now)});
      add_product<size, 1, queries, width>(value_sums, scores, tiles.gradient(),
                                           blockIdx.z * width);
    }
    meet();
    copy_gradients(next);
    if (is_busy) {
      add_product<size, 1, queries, width>(key_sums, changes, tiles.query(now),
                                           blockIdx.z * width);
    }
    if (stages == 1) {
      meet();
      copy_queries(next, stage);
    }
  }
  meet_copies();
  if (groups == 2) {
    // The first group's tiles have served; each thread has a column of what is handed over.
    float *handed = (float *)memory + thread;
    constexpr int count = width / 16 * 8;
    if (group == 1) {
#pragma unroll
      for (int i = 0; i < count; i++) {
        handed[i * tile_threads] = key_sums.at[0][i / 8][i % 8];
        handed[(count + i) * tile_threads] = value_sums.at[0][i / 8][i % 8];
      }
    }
    __syncthreads();
    if (group == 1) return;
#pragma unroll
    for (int i = 0; i < count; i++) {
      key_sums.at[0][i / 8][i % 8] += handed[i * tile_threads];
      value_sums.at[0][i / 8][i % 8] += handed[(count + i) * tile_threads];
    }
  }
  store_pieces<size, width>(key_sums, shape.scale, key_gradient, shape.kv_heads, kv_head,
                            first_key + warp_row, shape.key_rows, blockIdx.z * width);
  store_pieces<size, width>(value_sums, 1, value_gradient, shape.kv_heads, kv_head,
                            first_key + warp_row, shape.key_rows, blockIdx.z * width);
}

// MARK: Kernels of one head size. Each size has a file, so that they are compiled side by side;
// AttentionTiles.swift knows what these files say

#define QLORA_ATTENTION(size, keys, parts)                                                         \
  QLORA_KERNEL(128, qlora_attention_tile_##size, const u16 *query, const u16 *key,                 \
               const u16 *value, u16 *out, float *log_sum_exp, TileShape shape) {                  \
    attention_tile<size, keys, parts>(query, key, value, out, log_sum_exp, shape);                 \
  }

#define QLORA_QUERY_GRADIENTS(size, keys, columns, stages)                                         \
  QLORA_KERNEL(128, qlora_attention_tile_queries_##size, TileInputs in, float *query_gradient,     \
               TileShape shape) {                                                                  \
    query_gradient_tile<size, keys, columns, stages>(in, query_gradient, shape);                \
  }

#define QLORA_KEY_GRADIENTS(size, queries, columns, groups, stages)                                \
  QLORA_KERNEL(128 * groups, qlora_attention_tile_keys_##size##_##groups, TileInputs in,           \
               float *key_gradient, float *value_gradient, TileShape shape) {                      \
    key_gradient_tile<size, queries, columns, groups, stages>(in, key_gradient, value_gradient,    \
                                                              shape);                              \
  }
