// Attention in float32, a block for each row of a head: for activations that are not bf16, head
// sizes that the tiles do not know, and scores with a bias by distance. Warps take every fourth key
// (or query), and their parts are joined in the order of the warps.
static constexpr int row_warps = 4, most_lane_values = 8;

// Heads, and who sees whom.
struct AttentionShape {
  int heads, kv_heads, head_size;
  // Of queries.
  int rows;
  // Query row `i` stands where key row `i + offset` does.
  int offset;
  float scale;
  // Of scores; 0 = none.
  float cap;
  // Of the bias.
  int reach;
  // Keys that each query sees: from `starts`, null = the first, to before `stops`, null = its own.
  const int *starts;
  const int *stops;
  // Queries that see each key: from `firsts`, null = its own row, to before `ends`.
  const int *firsts;
  const int *ends;
  // [heads][2 · reach + 1], added to scores by how far the key is behind the key row `stands` of
  // the query; may be null.
  const float *bias;
  const int *stands;
};

static __device__ inline int keys_end(const AttentionShape &shape, int row) {
  return shape.stops ? shape.stops[row] : row + shape.offset + 1;
}

static __device__ inline float distance_bias(const AttentionShape &shape, int head, int row,
                                             int key) {
  if (!shape.bias) return 0;
  const int distance = key - shape.stands[row], reach = shape.reach;
  const int column = distance < -reach ? 0 : distance > reach ? 2 * reach : distance + reach;
  return shape.bias[(i64)head * (2 * reach + 1) + column];
}

struct LaneValues {
  float at[most_lane_values];
};

// Elements lane, lane + 32 … of a head.
static __device__ inline LaneValues load_head(const void *x, int type, i64 place, int head_size) {
  LaneValues values;
  for (int j = 0; j < most_lane_values; j++) {
    const int i = threadIdx.x % 32 + j * 32;
    values.at[j] = i < head_size ? load_element(x, type, place + i) : 0;
  }
  return values;
}

static __device__ inline float dot(const LaneValues &a, const LaneValues &b) {
  float sum = 0;
  for (int j = 0; j < most_lane_values; j++) sum += a.at[j] * b.at[j];
  return warp_sum(sum);
}

static __device__ inline void add_scaled(LaneValues &to, float factor, const LaneValues &x) {
  for (int j = 0; j < most_lane_values; j++) to.at[j] += factor * x.at[j];
}

// Σ over warps of factor · mine, in their order; every warp gets it.
static __device__ inline LaneValues join(const LaneValues &mine, float factor, float *scratch) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (int j = 0; j < most_lane_values; j++) {
    scratch[(warp * most_lane_values + j) * 32 + lane] = factor * mine.at[j];
  }
  __syncthreads();
  LaneValues sum;
  for (int j = 0; j < most_lane_values; j++) {
    sum.at[j] = 0;
    for (int w = 0; w < row_warps; w++) {
      sum.at[j] += scratch[(w * most_lane_values + j) * 32 + lane];
    }
  }
  __syncthreads();
  return sum;
}

static __device__ inline void store_head(const LaneValues &values, float factor, void *out,
                                         int type, i64 place, int head_size) {
  for (int j = 0; j < most_lane_values; j++) {
    const int i = threadIdx.x % 32 + j * 32;
    if (i < head_size && threadIdx.x < 32) {
      store_element(out, type, place + i, factor * values.at[j]);
    }
  }
}

static __device__ inline i64 head_place(i64 row, int head, int heads, int head_size) {
  return (row * heads + head) * head_size;
}

// Grid: query rows, heads. `log_sum_exp [heads][rows]` may be null.
QLORA_KERNEL(128, qlora_attention_row, const void *query, int query_type, const void *keys,
             int key_type, const void *values, int value_type, void *out, int out_type,
             float *log_sum_exp, AttentionShape shape) {
  __shared__ float scratch[row_warps * most_lane_values * 32];
  __shared__ float maxima[row_warps], sums[row_warps];
  const int row = blockIdx.x, head = blockIdx.y, warp = threadIdx.x / 32;
  const int size = shape.head_size, kv_head = head / (shape.heads / shape.kv_heads);
  const i64 place = head_place(row, head, shape.heads, size);
  const LaneValues q = load_head(query, query_type, place, size);
  LaneValues sum = {};
  float largest = bits_float(0xFF800000), total = 0;
  const int first = shape.starts ? shape.starts[row] : 0;
  for (int key = first + warp; key < keys_end(shape, row); key += row_warps) {
    const i64 from = head_place(key, kv_head, shape.kv_heads, size);
    const float product = dot(q, load_head(keys, key_type, from, size));
    const float score =
        capped(shape.scale * product, shape.cap) + distance_bias(shape, head, row, key);
    const float next = fmaxf(largest, score), shrink = expf(largest - next);
    const float weight = expf(score - next);
    for (int j = 0; j < most_lane_values; j++) sum.at[j] *= shrink;
    add_scaled(sum, weight, load_head(values, value_type, from, size));
    total = total * shrink + weight;
    largest = next;
  }
  if (threadIdx.x % 32 == 0) maxima[warp] = largest, sums[warp] = total;
  __syncthreads();
  float peak = maxima[0];
  for (int w = 1; w < row_warps; w++) peak = fmaxf(peak, maxima[w]);
  // A row that sees no key gives zeros.
  if (peak == bits_float(0xFF800000)) peak = 0;
  float all = 0;
  for (int w = 0; w < row_warps; w++) all += sums[w] * expf(maxima[w] - peak);
  sum = join(sum, expf(largest - peak), scratch);
  store_head(sum, all > 0 ? 1 / all : 0, out, out_type, place, size);
  if (log_sum_exp && threadIdx.x == 0) {
    log_sum_exp[(i64)head * shape.rows + row] = all > 0 ? peak + logf(all) : 0;
  }
}

// delta [heads][rows] = Σ over the head of gradient · output: a warp has one. Tiles want the
// gradient in bf16, too: `rounded`, null where nobody does.
QLORA_KERNEL(128, qlora_attention_delta, const float *gradient, const void *output, int output_type,
             float *delta, u16 *rounded, i64 rows, int heads, int head_size) {
  const i64 item = first_element() / 32;
  if (item >= rows * heads) return;
  const i64 row = item / heads;
  const int head = (int)(item % heads);
  const i64 place = head_place(row, head, heads, head_size);
  float sum = 0;
  for (int i = threadIdx.x % 32; i < head_size; i += 32) {
    const float value = gradient[place + i];
    sum += value * load_element(output, output_type, place + i);
    if (rounded) rounded[place + i] = bf16_bits(value);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) delta[head * rows + row] = sum;
}

// What backward reads.
struct AttentionInputs {
  const float *gradient;
  const void *query;
  const void *keys;
  const void *values;
  const float *log_sum_exp;
  const float *delta;
  int type;
};

// Grid: query rows, heads.
QLORA_KERNEL(128, qlora_attention_row_queries, AttentionInputs in, float *query_gradient,
             AttentionShape shape) {
  __shared__ float scratch[row_warps * most_lane_values * 32];
  const int row = blockIdx.x, head = blockIdx.y, warp = threadIdx.x / 32;
  const int size = shape.head_size, kv_head = head / (shape.heads / shape.kv_heads);
  const i64 place = head_place(row, head, shape.heads, size);
  const i64 known = (i64)head * shape.rows + row;
  const LaneValues q = load_head(in.query, in.type, place, size);
  const LaneValues dy = load_head(in.gradient, element_f32, place, size);
  const float log_sum = in.log_sum_exp[known], delta = in.delta[known];
  LaneValues sum = {};
  for (int key = shape.starts[row] + warp; key < keys_end(shape, row); key += row_warps) {
    const i64 from = head_place(key, kv_head, shape.kv_heads, size);
    const LaneValues k = load_head(in.keys, in.type, from, size);
    const float score = capped(shape.scale * dot(q, k), shape.cap);
    const float change = dot(dy, load_head(in.values, in.type, from, size));
    const float power = score + distance_bias(shape, head, row, key) - log_sum;
    add_scaled(sum, expf(power) * (change - delta) * cap_slope(score, shape.cap), k);
  }
  sum = join(sum, 1, scratch);
  store_head(sum, shape.scale, query_gradient, element_f32, place, size);
}

// Grid: key rows, key heads.
QLORA_KERNEL(128, qlora_attention_row_keys, AttentionInputs in, float *key_gradient,
             float *value_gradient, AttentionShape shape) {
  __shared__ float scratch[row_warps * most_lane_values * 32];
  const int key = blockIdx.x, kv_head = blockIdx.y, warp = threadIdx.x / 32;
  const int size = shape.head_size, group = shape.heads / shape.kv_heads;
  const i64 place = head_place(key, kv_head, shape.kv_heads, size);
  const int first = shape.firsts ? shape.firsts[key] : key;
  const LaneValues k = load_head(in.keys, in.type, place, size);
  const LaneValues v = load_head(in.values, in.type, place, size);
  LaneValues key_sum = {}, value_sum = {};
  for (int item = first * group + warp; item < shape.ends[key] * group; item += row_warps) {
    const int row = item / group, head = kv_head * group + item % group;
    const i64 from = head_place(row, head, shape.heads, size);
    const LaneValues q = load_head(in.query, in.type, from, size);
    const LaneValues dy = load_head(in.gradient, element_f32, from, size);
    const i64 known = (i64)head * shape.rows + row;
    const float score = capped(shape.scale * dot(q, k), shape.cap);
    const float bias = distance_bias(shape, head, row, key);
    const float weight = expf(score + bias - in.log_sum_exp[known]);
    const float change = (dot(dy, v) - in.delta[known]) * cap_slope(score, shape.cap);
    add_scaled(value_sum, weight, dy);
    add_scaled(key_sum, weight * change, q);
  }
  key_sum = join(key_sum, 1, scratch);
  value_sum = join(value_sum, 1, scratch);
  store_head(key_sum, shape.scale, key_gradient, element_f32, place, size);
  store_head(value_sum, 1, value_gradient, element_f32, place, size);
}
