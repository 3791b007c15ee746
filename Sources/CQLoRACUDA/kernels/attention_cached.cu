// Attention of few rows to a cache of keys and values, as in generation, in float32. A block for
// each head would leave most of a device idle, so blocks take pieces of the keys side by side, and
// a second kernel joins the pieces in their order. Where they are cut depends on nothing.
// Source: Dao et al. 2023, "Flash-Decoding for long-context inference".
static constexpr int piece_keys = 128, piece_warps = 8, keys_at_once = 4;

struct CachedShape {
  int heads, kv_heads, head_size, rows;
  // Of the last row, whose own key is the last; where `place` is not null it says so instead.
  int position;
  // How many keys a row sees, the last its own; 0 = all.
  int window;
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
                                        int piece, int pieces) {
  return parts + (((i64)row * shape.heads + head) * pieces + piece) * (shape.head_size + 2);
}

// Grid: pieces, heads, rows. Pieces that a row does not see are left as they were.
QLORA_KERNEL(256, qlora_attention_piece, const void *query, int query_type, const void *keys,
             int key_type, const void *values, int value_type, float *parts, CachedShape shape) {
  __shared__ float sums[piece_warps][most_lane_values * 32];
  __shared__ float maxima[piece_warps], totals[piece_warps];
  const int piece = blockIdx.x, head = blockIdx.y, row = blockIdx.z;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, size = shape.head_size;
  const KeyRange visible = visible_keys(shape, row);
  const int first = piece * piece_keys > visible.first ? piece * piece_keys : visible.first;
  const int end = min((piece + 1) * piece_keys, visible.end);
  if (first >= end) return;
  const int kv_head = head / (shape.heads / shape.kv_heads);
  const i64 place = head_place(row, head, shape.heads, size);
  const LaneValues q = load_head(query, query_type, place, size);
  LaneValues sum = {};
  float largest = bits_float(0xFF800000), total = 0;
  for (int key = first + warp * keys_at_once; key < end; key += piece_warps * keys_at_once) {
    // Several keys at once, so that their memory is waited for together.
    float scores[keys_at_once];
    LaneValues terms[keys_at_once];
    float next = largest;
#pragma unroll
    for (int j = 0; j < keys_at_once; j++) {
      const int there = min(key + j, end - 1);
      const i64 from = head_place(there, kv_head, shape.kv_heads, size);
      const float product = dot(q, load_head(keys, key_type, from, size));
      terms[j] = load_head(values, value_type, from, size);
      scores[j] = capped(shape.scale * product, shape.cap);
      next = fmaxf(next, scores[j]);
    }
    const float shrink = expf(largest - next);
    for (int e = 0; e < most_lane_values; e++) sum.at[e] *= shrink;
    total *= shrink;
#pragma unroll
    for (int j = 0; j < keys_at_once; j++) {
      const float weight = key + j < end ? expf(scores[j] - next) : 0;
      add_scaled(sum, weight, terms[j]);
      total += weight;
    }
    largest = next;
  }
  if (lane == 0) maxima[warp] = largest, totals[warp] = total;
  for (int e = 0; e < most_lane_values; e++) sums[warp][e * 32 + lane] = sum.at[e];
  __syncthreads();
  // The first warp has a key, so that the peak is a number.
  float peak = maxima[0], all = 0;
  for (int w = 1; w < piece_warps; w++) peak = fmaxf(peak, maxima[w]);
  for (int w = 0; w < piece_warps; w++) all += totals[w] * expf(maxima[w] - peak);
  float *part = part_of(parts, shape, row, head, piece, gridDim.x);
  for (int i = threadIdx.x; i < size; i += piece_warps * 32) {
    float value = 0;
    for (int w = 0; w < piece_warps; w++) value += sums[w][i] * expf(maxima[w] - peak);
    part[i] = value;
  }
  if (threadIdx.x == 0) part[size] = peak, part[size + 1] = all;
}

// Grid: heads, rows.
QLORA_KERNEL(128, qlora_attention_join, float *parts, int pieces, void *out, int out_type,
             CachedShape shape) {
  const int head = blockIdx.x, row = blockIdx.y, size = shape.head_size;
  const KeyRange visible = visible_keys(shape, row);
  const int first = visible.first / piece_keys, last = (visible.end - 1) / piece_keys;
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
