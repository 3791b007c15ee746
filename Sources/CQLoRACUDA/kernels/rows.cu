// Kernels of rows: normalizations, their gradients, rotary positions. A block has a row at a time.
static constexpr int row_threads = 256;

QLORA_KERNEL(256, qlora_rms_norm, const void *x, int x_type, const void *weight, int weight_type,
             void *out, int out_type, float *inverse_rms, i64 width, float epsilon) {
  __shared__ float scratch[row_threads];
  const i64 base = (i64)blockIdx.x * width;
  float sum = 0;
  for (i64 i = threadIdx.x; i < width; i += row_threads) {
    const float value = load_element(x, x_type, base + i);
    sum += value * value;
  }
  sum = block_sum<row_threads>(sum, scratch);
  const float inverse = 1 / sqrtf(sum / (float)width + epsilon);
  if (threadIdx.x == 0) inverse_rms[blockIdx.x] = inverse;
  for (i64 i = threadIdx.x; i < width; i += row_threads) {
    const float normal = load_element(x, x_type, base + i) * inverse;
    store_element(out, out_type, base + i, normal * load_element(weight, weight_type, i));
  }
}

QLORA_KERNEL(256, qlora_rms_norm_backward, const float *gradient, const void *x, int x_type,
             const void *weight, int weight_type, const float *inverse_rms, float *x_gradient,
             i64 width, int accumulating) {
  __shared__ float scratch[row_threads];
  const i64 base = (i64)blockIdx.x * width;
  const float inverse = inverse_rms[blockIdx.x];
  float sum = 0;
  for (i64 i = threadIdx.x; i < width; i += row_threads) {
    sum += gradient[base + i] * load_element(weight, weight_type, i)
         * load_element(x, x_type, base + i);
  }
  sum = block_sum<row_threads>(sum, scratch);
  const float shift = inverse * inverse * inverse * sum / (float)width;
  for (i64 i = threadIdx.x; i < width; i += row_threads) {
    const float value = inverse * gradient[base + i] * load_element(weight, weight_type, i)
                      - shift * load_element(x, x_type, base + i);
    x_gradient[base + i] = accumulating ? x_gradient[base + i] + value : value;
  }
}

// statistics [rows][2] = the mean and the inverse of the deviation.
QLORA_KERNEL(256, qlora_layer_norm, const void *x, int x_type, const float *weight,
             const float *bias, void *out, int out_type, float *statistics, i64 width,
             float epsilon) {
  __shared__ float scratch[row_threads];
  const i64 base = (i64)blockIdx.x * width;
  float sum = 0;
  for (i64 i = threadIdx.x; i < width; i += row_threads) sum += load_element(x, x_type, base + i);
  const float mean = block_sum<row_threads>(sum, scratch) / (float)width;
  float squares = 0;
  for (i64 i = threadIdx.x; i < width; i += row_threads) {
    const float apart = load_element(x, x_type, base + i) - mean;
    squares += apart * apart;
  }
  const float variance = block_sum<row_threads>(squares, scratch) / (float)width;
  const float inverse = 1 / sqrtf(variance + epsilon);
  if (threadIdx.x == 0) {
    statistics[2 * (i64)blockIdx.x] = mean;
    statistics[2 * (i64)blockIdx.x + 1] = inverse;
  }
  for (i64 i = threadIdx.x; i < width; i += row_threads) {
    const float normal = (load_element(x, x_type, base + i) - mean) * inverse;
    store_element(out, out_type, base + i, normal * weight[i] + bias[i]);
  }
}

// With y the normalized row and g = gradient · weight: r·(g − mean(g) − y·mean(g·y)).
QLORA_KERNEL(256, qlora_layer_norm_backward, const float *gradient, const void *x, int x_type,
             const float *weight, const float *statistics, float *x_gradient, i64 width,
             int accumulating) {
  __shared__ float scratch[row_threads];
  const i64 base = (i64)blockIdx.x * width;
  const float mean = statistics[2 * (i64)blockIdx.x];
  const float inverse = statistics[2 * (i64)blockIdx.x + 1];
  float plain = 0, turned = 0;
  for (i64 i = threadIdx.x; i < width; i += row_threads) {
    const float scaled = gradient[base + i] * weight[i];
    plain += scaled;
    turned += scaled * (load_element(x, x_type, base + i) - mean) * inverse;
  }
  plain = block_sum<row_threads>(plain, scratch) / (float)width;
  turned = block_sum<row_threads>(turned, scratch) / (float)width;
  for (i64 i = threadIdx.x; i < width; i += row_threads) {
    const float normal = (load_element(x, x_type, base + i) - mean) * inverse;
    const float value = inverse * (gradient[base + i] * weight[i] - plain - normal * turned);
    x_gradient[base + i] = accumulating ? x_gradient[base + i] + value : value;
  }
}

// x [rows][heads][head_size] in place: pair i of each head is at i · step and `apart` behind it.
QLORA_KERNEL(256, qlora_rotary, void *x, int type, const int *positions, const float *cosines,
             const float *sines, i64 rows, i64 heads, i64 head_size, i64 pairs, i64 step, i64 apart,
             int inverse) {
  const float sign = inverse ? -1 : 1;
  for (i64 i = first_element(); i < rows * heads * pairs; i += element_step()) {
    const i64 pair = i % pairs, head = i / pairs;
    const i64 angle = (i64)positions[head / heads] * pairs + pair;
    const i64 place = head * head_size + pair * step;
    const float cosine = cosines[angle], sine = sign * sines[angle];
    const float a = load_element(x, type, place), b = load_element(x, type, place + apart);
    store_element(x, type, place, a * cosine - b * sine);
    store_element(x, type, place + apart, b * cosine + a * sine);
  }
}
