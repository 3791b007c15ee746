// Rows that vectors of their sample scale, shift and gate, and what image models are trained by.
// A block has a row at a time, but for sums down the rows of a sample.
static constexpr int norm_threads = 256;

// out = n · (1 + scale) + shift with n the normalized row; statistics [rows][2] = the mean and the
// inverse of the deviation. `samples` names each row's vectors.
QLORA_KERNEL(256, qlora_modulated_norm, const void *x, int x_type, const float *shift,
             const float *scale, const int *samples, void *out, int out_type, float *statistics,
             i64 width, float epsilon) {
  __shared__ float scratch[norm_threads];
  const i64 base = (i64)blockIdx.x * width, vector = samples[blockIdx.x] * width;
  float sum = 0;
  for (i64 i = threadIdx.x; i < width; i += norm_threads) sum += load_element(x, x_type, base + i);
  const float mean = block_sum<norm_threads>(sum, scratch) / (float)width;
  float squares = 0;
  for (i64 i = threadIdx.x; i < width; i += norm_threads) {
    const float apart = load_element(x, x_type, base + i) - mean;
    squares += apart * apart;
  }
  const float variance = block_sum<norm_threads>(squares, scratch) / (float)width;
  const float inverse = 1 / sqrtf(variance + epsilon);
  if (threadIdx.x == 0) {
    statistics[2 * (i64)blockIdx.x] = mean;
    statistics[2 * (i64)blockIdx.x + 1] = inverse;
  }
  for (i64 i = threadIdx.x; i < width; i += norm_threads) {
    const float normal = (load_element(x, x_type, base + i) - mean) * inverse;
    store_element(out, out_type, base + i, normal * (1 + scale[vector + i]) + shift[vector + i]);
  }
}

// With g = gradient · (1 + scale): r·(g − mean(g) − n·mean(g·n)).
QLORA_KERNEL(256, qlora_modulated_norm_backward, const float *gradient, const void *x, int x_type,
             const float *scale, const int *samples, const float *statistics, float *x_gradient,
             i64 width, int accumulating) {
  __shared__ float scratch[norm_threads];
  const i64 base = (i64)blockIdx.x * width, vector = samples[blockIdx.x] * width;
  const float mean = statistics[2 * (i64)blockIdx.x];
  const float inverse = statistics[2 * (i64)blockIdx.x + 1];
  float plain = 0, turned = 0;
  for (i64 i = threadIdx.x; i < width; i += norm_threads) {
    const float scaled = gradient[base + i] * (1 + scale[vector + i]);
    plain += scaled;
    turned += scaled * (load_element(x, x_type, base + i) - mean) * inverse;
  }
  plain = block_sum<norm_threads>(plain, scratch) / (float)width;
  turned = block_sum<norm_threads>(turned, scratch) / (float)width;
  for (i64 i = threadIdx.x; i < width; i += norm_threads) {
    const float normal = (load_element(x, x_type, base + i) - mean) * inverse;
    const float scaled = gradient[base + i] * (1 + scale[vector + i]);
    const float value = inverse * (scaled - plain - normal * turned);
    x_gradient[base + i] = accumulating ? x_gradient[base + i] + value : value;
  }
}

// out [rows][width] = residual + gate · x; without a residual the product alone.
QLORA_KERNEL(256, qlora_gated_add, const void *residual, int residual_type, const void *x,
             int x_type, const float *gate, const int *samples, void *out, int out_type, i64 rows,
             i64 width) {
  for (i64 i = first_element(); i < rows * width; i += element_step()) {
    const i64 vector = samples[i / width] * width;
    const float value = gate[vector + i % width] * load_element(x, x_type, i);
    store_element(out, out_type, i,
                  residual ? load_element(residual, residual_type, i) + value : value);
  }
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
  __shared__ double scratch[norm_threads];
  const i64 base = (i64)blockIdx.x * width;
  const double share = (double)weight / (double)elements;
  double sum = 0;
  for (i64 i = base + threadIdx.x; i < base + width; i += norm_threads) {
    const double error = (double)load_element(prediction, type, i)
                       - (double)load_element(target, target_type, i);
    sum += error * error;
    if (gradient) gradient[i] = (float)(2 * share * error);
  }
  sum = block_sum<norm_threads>(sum, scratch);
  if (threadIdx.x == 0) losses[blockIdx.x] = share * sum;
}
