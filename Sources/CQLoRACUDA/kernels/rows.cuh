// How rows are shared out: each belongs to a group of lanes, a warp or, where rows are wide, a
// block.

template <int n> struct Lanes {
  static constexpr int count = n;
};

static constexpr int row_threads = 256, row_warps = row_threads / 32;

// body(row, lanes) for this block's rows: one for each group of `lanes`.
template <typename Body>
static __device__ inline void for_rows(i64 rows, int lanes, Body body) {
  const i64 warp = first_element() / 32;
  if (lanes > 32) {
    body((i64)blockIdx.x, Lanes<row_threads>());
  } else if (warp < rows) {
    body(warp, Lanes<32>());
  }
}

// body(first, width) for the pieces of a row that this lane has; where rows lie in whole words,
// they are a multiple of a piece.
template <int lanes, typename Body>
static __device__ inline void for_row(i64 columns, bool is_whole, Lanes<lanes>, Body body) {
  const int lane = threadIdx.x % lanes;
  if (is_whole) {
    for (i64 i = lane * piece; i < columns; i += lanes * piece) body(i, Width<piece>());
  } else {
    for (i64 i = lane; i < columns; i += lanes) body(i, Width<1>());
  }
}

// MARK: Mean and deviation

struct Moments {
  float mean, inverse;
  __device__ float normal(float value) const { return (value - mean) * inverse; }
};

template <int lanes>
static __device__ inline Moments row_moments(const void *x, int type, i64 base, i64 columns,
                                             bool is_whole, float epsilon, Lanes<lanes> group,
                                             float *scratch) {
  float sum = 0;
  for_row(columns, is_whole, group, [&](i64 i, auto part) {
    for (float value : load(x, type, base + i, part).at) sum += value;
  });
  const float mean = block_sum<lanes>(sum, scratch) / (float)columns;
  float squares = 0;
  for_row(columns, is_whole, group, [&](i64 i, auto part) {
    for (float value : load(x, type, base + i, part).at) {
      squares += (value - mean) * (value - mean);
    }
  });
  const float variance = block_sum<lanes>(squares, scratch) / (float)columns;
  return {mean, 1 / sqrtf(variance + epsilon)};
}

// statistics [rows][2].
static __device__ inline Moments kept_moments(const float *statistics, i64 row) {
  return {statistics[2 * row], statistics[2 * row + 1]};
}

template <int lanes>
static __device__ inline void keep_moments(float *statistics, i64 row, Moments moments,
                                           Lanes<lanes>) {
  if (threadIdx.x % lanes != 0) return;
  statistics[2 * row] = moments.mean;
  statistics[2 * row + 1] = moments.inverse;
}

// x_gradient (+)= r·(g − mean(g) − y·mean(g·y)) of a row y that was normalized, with g the gradient
// times `scale(first, part)`.
template <int lanes, typename Scale>
static __device__ inline void backpropagate_norm(const float *gradient, const void *x, int x_type,
                                                 Moments moments, float *x_gradient, i64 base,
                                                 i64 columns, bool is_whole, Lanes<lanes> group,
                                                 int accumulating, float *scratch, Scale scale) {
  float plain = 0, turned = 0;
  for_row(columns, is_whole, group, [&](i64 i, auto part) {
    const auto packed = fetch(x, x_type, base + i, part);
    const auto dy = load(gradient, element_f32, base + i, part), scales = scale(i, part);
    const auto values = unpack(packed);
    for (int j = 0; j < part.count; j++) {
      const float scaled = dy.at[j] * scales.at[j];
      plain += scaled;
      turned += scaled * moments.normal(values.at[j]);
    }
  });
  plain = block_sum<lanes>(plain, scratch) / (float)columns;
  turned = block_sum<lanes>(turned, scratch) / (float)columns;
  for_row(columns, is_whole, group, [&](i64 i, auto part) {
    const auto packed = fetch(x, x_type, base + i, part);
    const auto scales = scale(i, part);
    auto dx = load(gradient, element_f32, base + i, part);
    const auto values = unpack(packed);
    for (int j = 0; j < part.count; j++) {
      const float normal = moments.normal(values.at[j]);
      dx.at[j] = moments.inverse * (dx.at[j] * scales.at[j] - plain - normal * turned);
    }
    if (accumulating) add(dx, load(x_gradient, element_f32, base + i, part));
    store(x_gradient, element_f32, base + i, dx);
  });
}
