// Attention of few rows to a cache of keys and values, as in generation, in float32. A block for
// each head would leave most of a device idle, so blocks take pieces of the keys side by side, and
// a second kernel joins the pieces in their order. Where they are cut depends on the cache's room.
// Source: Dao et al. 2023, "Flash-Decoding for long-context inference".
static constexpr int piece_threads = 256, keys_at_once = 4;

struct CachedShape {
  int heads, kv_heads, head_size, rows;
  // Of the last row, whose own key is the last; where `place` is not null it says so instead.
  int position;
  // How many keys a row sees, the last its own; 0 = all.
  int window;
  // Keys of a piece.
  int piece_keys;
  float scale, cap;
  const int *place;
};

struct KeyRange {
  int first, end;
};

static __device__ inline KeyRange visible_keys(const CachedShape &shape, int row) {
  const int position = (shape.place ? *shape.place : shape.position) - (shape.rows - 1) + row;
  const int first = shape.window > 0 && position >= shape.window ? position + 1 - shape.window : 0;
  return {first, position + 1};
}

// A piece's part of the sum, its largest score and the sum of its weights.
static __device__ inline float *part_of(float *parts, const CachedShape &shape, int row, int head,
                                        int place, int pieces) {
  return parts + (((i64)row * shape.heads + head) * pieces + place) * (shape.head_size + 2);
}

// The lanes that share a key, each with a piece of its elements: the least power of two, and at
// most a warp's, since no head has more than 256 elements.
static __device__ inline int key_lanes(int head_size) {
  int lanes = 1;
  while (lanes * piece < head_size) lanes *= 2;
  return lanes;
}

// A lane's piece of the head that begins there, zeros past its end.
static __device__ inline Elements<piece> load_part(const void *x, int type, i64 begin, int column,
                                                   int head_size, bool is_whole) {
  if (is_whole && column < head_size) return load(x, type, begin + column, Width<piece>());
  Elements<piece> part = {};
  for (int i = 0; i < piece && column + i < head_size; i++) {
    part.at[i] = load_element(x, type, begin + column + i);
  }
  return part;
}

// What a group of lanes has seen: Σ exp(score − largest) · value, and the sum of these weights.
struct KeySum {
  // Finite, so that no difference of infinities is made where nothing was seen.
  float largest = -3.402823466e38f, total = 0;
  Elements<piece> values = {};

  __device__ void raise(float score) {
    const float shrink = expf(largest - score);
    for (float &value : values.at) value *= shrink;
    total *= shrink;
    largest = score;
  }
};

// Grid: pieces, heads, rows. Pieces that a row does not see are left as they were. Groups of lanes
// have a key each, several at once, so that their memory is waited for together.
QLORA_KERNEL(256, qlora_attention_piece, const void *query, int query_type, const void *keys,
             int key_type, const void *values, int value_type, float *parts, CachedShape shape) {
  __shared__ float sums[piece_threads * piece];
  __shared__ float maxima[piece_threads], totals[piece_threads];
  const int place = blockIdx.x, head = blockIdx.y, row = blockIdx.z, size = shape.head_size;
  const KeyRange visible = visible_keys(shape, row);
  const int first = max(place * shape.piece_keys, visible.first);
  const int end = min((place + 1) * shape.piece_keys, visible.end);
  if (first >= end) return;
  const int lanes = key_lanes(size), groups = piece_threads / lanes;
  const int group = threadIdx.x / lanes, column = threadIdx.x % lanes * piece;
  const int kv_head = head / (shape.heads / shape.kv_heads);
  const bool whole = size % piece == 0 && is_whole(query) && is_whole(keys) && is_whole(values);
  const auto q = load_part(query, query_type, head_place(row, head, shape.heads, size), column,
                           size, whole);
  KeySum sum;
  for (int start = first; start < end; start += keys_at_once * groups) {
    float scores[keys_at_once], next = sum.largest;
    Elements<piece> terms[keys_at_once];
#pragma unroll
    for (int j = 0; j < keys_at_once; j++) {
      // The same for all groups, so that all lanes are there where they exchange.
      if (start + j * groups >= end) break;
      const int key = start + j * groups + group;
      const i64 from = head_place(min(key, end - 1), kv_head, shape.kv_heads, size);
      const auto k = load_part(keys, key_type, from, column, size, whole);
      terms[j] = load_part(values, value_type, from, column, size, whole);
      float product = 0;
      for (int i = 0; i < piece; i++) product += q.at[i] * k.at[i];
      for (int apart = lanes / 2; apart > 0; apart /= 2) {
        product += __shfl_xor_sync(~0u, product, apart);
      }
      scores[j] = capped(shape.scale * product, shape.cap);
      if (key < end) next = fmaxf(next, scores[j]);
    }
    sum.raise(next);
#pragma unroll
    for (int j = 0; j < keys_at_once; j++) {
      if (start + j * groups >= end) break;
      const float weight = start + j * groups + group < end ? expf(scores[j] - next) : 0;
      for (int i = 0; i < piece; i++) sum.values.at[i] += weight * terms[j].at[i];
      sum.total += weight;
    }
  }
  const int width = lanes * piece;
  for (int i = 0; i < piece; i++) sums[group * width + column + i] = sum.values.at[i];
  if (column == 0) maxima[group] = sum.largest, totals[group] = sum.total;
  __syncthreads();
  float peak = maxima[0], all = 0;
  for (int g = 1; g < groups; g++) peak = fmaxf(peak, maxima[g]);
  float *part = part_of(parts, shape, row, head, place, gridDim.x);
  for (int i = threadIdx.x; i < size; i += piece_threads) {
    float value = 0;
    for (int g = 0; g < groups; g++) value += sums[g * width + i] * expf(maxima[g] - peak);
    part[i] = value;
  }
  if (threadIdx.x > 0) return;
  for (int g = 0; g < groups; g++) all += totals[g] * expf(maxima[g] - peak);
  part[size] = peak, part[size + 1] = all;
}

// Grid: heads, rows.
QLORA_KERNEL(128, qlora_attention_join, float *parts, int pieces, void *out, int out_type,
             CachedShape shape) {
  const int head = blockIdx.x, row = blockIdx.y, size = shape.head_size;
  const KeyRange visible = visible_keys(shape, row);
  const int first = visible.first / shape.piece_keys;
  const int last = (visible.end - 1) / shape.piece_keys;
  const float *part = part_of(parts, shape, row, head, 0, pieces);
  float peak = bits_float(0xFF800000), all = 0;
  for (int p = first; p <= last; p++) peak = fmaxf(peak, part[p * (size + 2) + size]);
  for (int p = first; p <= last; p++) {
    all += part[p * (size + 2) + size + 1] * expf(part[p * (size + 2) + size] - peak);
  }
  for (int i = threadIdx.x; i < size; i += 128) {
    float value = 0;
    for (int p = first; p <= last; p++) {
      value += part[p * (size + 2) + i] * expf(part[p * (size + 2) + size] - peak);
    }
    store_element(out, out_type, head_place(row, head, shape.heads, size) + i, value * (1 / all));
  }
}
