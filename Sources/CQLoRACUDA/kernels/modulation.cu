// Rows that vectors of their sample scale, shift and gate, and what image models are trained by.
// Rows are shared out as rows.cuh says, but for sums down the rows of a sample.

// out = n · (1 + scale) + shift with n the normalized row; statistics [rows][2] = the mean and the
// inverse of the deviation. `samples` names each row's vectors.
QLORA_KERNEL(256, qlora_modulated_norm, const void *x, int x_type, const float *shift,
             const float *scale, const int *samples, void *out, int out_type, float *statistics,
             float epsilon, i64 rows, i64 width, int lanes) {
  __shared__ float scratch[row_warps];
  const bool whole = width % piece == 0 && is_whole(x) && is_whole(shift) && is_whole(scale)
                  && is_whole(out);
  for_rows(rows, lanes, [&](i64 row, auto lanes) {
    const i64 base = row * width, vector = samples[row] * width;
    const Moments moments = row_moments(x, x_type, base, width, whole, epsilon, lanes, scratch);
    keep_moments(statistics, row, moments, lanes);
    for_row(width, whole, lanes, [&](i64 i, auto part) {
      const auto packed = fetch(x, x_type, base + i, part);
      const auto scales = load(scale, element_f32, vector + i, part);
      const auto shifts = load(shift, element_f32, vector + i, part);
      auto values = unpack(packed);
      for (int j = 0; j < part.count; j++) {
        values.at[j] = moments.normal(values.at[j]) * (1 + scales.at[j]) + shifts.at[j];
      }
      store(out, out_type, base + i, values);
    });
  });
}

QLORA_KERNEL(256, qlora_modulated_norm_backward, const float *gradient, const void *x, int x_type,
             const float *scale, const int *samples, const float *statistics, float *x_gradient,
             int accumulating, i64 rows, i64 width, int lanes) {
  __shared__ float scratch[row_warps];
  const bool whole = width % piece == 0 && is_whole(gradient) && is_whole(x) && is_whole(scale)
                  && is_whole(x_gradient);
  for_rows(rows, lanes, [&](i64 row, auto lanes) {
    const i64 vector = samples[row] * width;
    const auto scales = [&](i64 i, auto part) {
      auto values = load(scale, element_f32, vector + i, part);
      for (float &value : values.at) value += 1;
      return values;
    };
    backpropagate_norm(
        gradient, x, x_type, kept_moments(statistics, row), x_gradient, row * width, width, whole,
        lanes, accumulating, scratch, scales);
  });
}

// out [rows][width] = residual + gate · x; without a residual the product alone.
QLORA_KERNEL(256, qlora_gated_add, const void *residual, int residual_type, const void *x,
             int x_type, const float *gate, const int *samples, void *out, int out_type, i64 rows,
             i64 width) {
  const bool whole = width % piece == 0 && is_whole(residual) && is_whole(x) && is_whole(gate)
                  && is_whole(out);
  for_matrix(rows, width, whole, [&](i64 row, i64 column, auto part) {
    const i64 i = row * width + column;
    const auto packed = fetch(x, x_type, i, part);
    const auto gates = load(gate, element_f32, samples[row] * width + column, part);
    auto values = unpack(packed);
    for (int j = 0; j < part.count; j++) values.at[j] *= gates.at[j];
    if (residual) add(values, load(residual, residual_type, i, part));
    store(out, out_type, i, values);
  });
}

// MARK: Sums down rows

static constexpr int sum_columns = 32, sum_lanes = 8;

// out [samples][width] = Σ over the rows of each sample of the gradient, times x where there is
// one, which `statistics` normalize; added to what is there where `adding`. Grid: 32 columns each,
// samples. Eight threads share a column's rows, and their parts are joined in their order.
QLORA_KERNEL(256, qlora_sum_rows, const float *gradient, const void *x, int x_type,
             const float *statistics, const int *bounds, float *out, i64 width, int adding) {
  __shared__ float parts[sum_lanes][sum_columns];
  const int place = threadIdx.x % sum_columns, lane = threadIdx.x / sum_columns;
  const i64 column = (i64)blockIdx.x * sum_columns + place;
  const int sample = blockIdx.y;
  float sum = 0;
  for (int row = bounds[sample] + lane; column < width && row < bounds[sample + 1];
       row += sum_lanes) {
    const i64 i = row * width + column;
    float factor = x ? load_element(x, x_type, i) : 1;
    if (statistics) factor = (factor - statistics[2 * row]) * statistics[2 * row + 1];
    sum += gradient[i] * factor;
  }
  parts[lane][place] = sum;
  __syncthreads();
  if (lane > 0 || column >= width) return;
  for (int other = 1; other < sum_lanes; other++) sum += parts[other][place];
  const i64 to = sample * width + column;
  out[to] = adding ? out[to] + sum : sum;
}

// MARK: Squared errors

// losses [rows] = weight · Σ (prediction − target)² / elements, and the gradient by the prediction
// where it is wanted.
QLORA_KERNEL(256, qlora_squared_error, const void *prediction, int type, const void *target,
             int target_type, float *gradient, double *losses, i64 width, float weight,
             i64 elements) {
  __shared__ double scratch[row_warps];
  const i64 base = (i64)blockIdx.x * width;
  const double share = (double)weight / (double)elements;
  double sum = 0;
  for (i64 i = base + threadIdx.x; i < base + width; i += row_threads) {
    const double error = (double)load_element(prediction, type, i)
                       - (double)load_element(target, target_type, i);
    sum += error * error;
    if (gradient) gradient[i] = (float)(2 * share * error);
  }
  sum = block_sum<row_threads>(sum, scratch);
  if (threadIdx.x == 0) losses[blockIdx.x] = share * sum;
}
