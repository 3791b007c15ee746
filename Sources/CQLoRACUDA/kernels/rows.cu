// Kernels of rows: normalizations, their gradients, rotary positions.

QLORA_KERNEL(256, qlora_rms_norm, const void *x, int x_type, const void *weight, int weight_type,
             void *out, int out_type, float *inverse_rms, float epsilon, i64 rows, i64 width,
             int lanes) {
  __shared__ float scratch[row_warps];
  const bool whole = width % piece == 0 && is_whole(x) && is_whole(weight) && is_whole(out);
  for_rows(rows, lanes, [&](i64 row, auto lanes) {
    const i64 base = row * width;
    float sum = 0;
    for_row(width, whole, lanes, [&](i64 i, auto part) {
      for (float value : load(x, x_type, base + i, part).at) sum += value * value;
    });
    sum = block_sum<lanes.count>(sum, scratch);
    const float inverse = 1 / sqrtf(sum / (float)width + epsilon);
    if (threadIdx.x % lanes.count == 0) inverse_rms[row] = inverse;
    for_row(width, whole, lanes, [&](i64 i, auto part) {
      const auto scales = fetch(weight, weight_type, i, part);
      auto values = load(x, x_type, base + i, part);
      const auto scale = unpack(scales);
      for (int j = 0; j < part.count; j++) values.at[j] = values.at[j] * inverse * scale.at[j];
      store(out, out_type, base + i, values);
    });
  });
}

QLORA_KERNEL(256, qlora_rms_norm_backward, const float *gradient, const void *x, int x_type,
             const void *weight, int weight_type, const float *inverse_rms, float *x_gradient,
             int accumulating, i64 rows, i64 width, int lanes) {
  __shared__ float scratch[row_warps];
  const bool whole = width % piece == 0 && is_whole(gradient) && is_whole(x) && is_whole(weight)
                  && is_whole(x_gradient);
  for_rows(rows, lanes, [&](i64 row, auto lanes) {
    const i64 base = row * width;
    const float inverse = inverse_rms[row];
    float sum = 0;
    for_row(width, whole, lanes, [&](i64 i, auto part) {
      const auto packed = fetch(x, x_type, base + i, part);
      const auto scales = fetch(weight, weight_type, i, part);
      const auto dy = load(gradient, element_f32, base + i, part);
      const auto scale = unpack(scales), values = unpack(packed);
      for (int j = 0; j < part.count; j++) sum += dy.at[j] * scale.at[j] * values.at[j];
    });
    sum = block_sum<lanes.count>(sum, scratch);
    const float shift = inverse * inverse * inverse * sum / (float)width;
    for_row(width, whole, lanes, [&](i64 i, auto part) {
      const auto packed = fetch(x, x_type, base + i, part);
      const auto scales = fetch(weight, weight_type, i, part);
      auto dx = load(gradient, element_f32, base + i, part);
      const auto scale = unpack(scales), values = unpack(packed);
      for (int j = 0; j < part.count; j++) {
        dx.at[j] = inverse * dx.at[j] * scale.at[j] - shift * values.at[j];
      }
      if (accumulating) add(dx, load(x_gradient, element_f32, base + i, part));
      store(x_gradient, element_f32, base + i, dx);
    });
  });
}

// statistics [rows][2] = the mean and the inverse of the deviation.
QLORA_KERNEL(256, qlora_layer_norm, const void *x, int x_type, const float *weight,
             const float *bias, void *out, int out_type, float *statistics, float epsilon,
             i64 rows, i64 width, int lanes) {
  __shared__ float scratch[row_warps];
  const bool whole = width % piece == 0 && is_whole(x) && is_whole(weight) && is_whole(bias)
                  && is_whole(out);
  for_rows(rows, lanes, [&](i64 row, auto lanes) {
    const i64 base = row * width;
    const Moments moments = row_moments(x, x_type, base, width, whole, epsilon, lanes, scratch);
    keep_moments(statistics, row, moments, lanes);
    for_row(width, whole, lanes, [&](i64 i, auto part) {
      const auto packed = fetch(x, x_type, base + i, part);
      const auto scale = load(weight, element_f32, i, part);
      const auto shift = load(bias, element_f32, i, part);
      auto values = unpack(packed);
      for (int j = 0; j < part.count; j++) {
        values.at[j] = moments.normal(values.at[j]) * scale.at[j] + shift.at[j];
      }
      store(out, out_type, base + i, values);
    });
  });
}

// With y the normalized row and g = gradient · weight: r·(g − mean(g) − y·mean(g·y)).
QLORA_KERNEL(256, qlora_layer_norm_backward, const float *gradient, const void *x, int x_type,
             const float *weight, const float *statistics, float *x_gradient, int accumulating,
             i64 rows, i64 width, int lanes) {
  __shared__ float scratch[row_warps];
  const bool whole = width % piece == 0 && is_whole(gradient) && is_whole(x) && is_whole(weight)
                  && is_whole(x_gradient);
  for_rows(rows, lanes, [&](i64 row, auto lanes) {
    const auto scales = [&](i64 i, auto part) { return load(weight, element_f32, i, part); };
    backpropagate_norm(
        gradient, x, x_type, kept_moments(statistics, row), x_gradient, row * width, width, whole,
        lanes, accumulating, scratch, scales);
  });
}

// x [rows][heads][head_size] in place: pair i of each head is at i · step and `apart` behind it.
QLORA_KERNEL(256, qlora_rotary, void *x, int type, const int *positions, const float *cosines,
             const float *sines, i64 rows, i64 heads, i64 head_size, i64 pairs, i64 step, i64 apart,
             int inverse) {
  const float sign = inverse ? -1 : 1;
  const bool whole = step == 1 && pairs % piece == 0 && is_whole(x, type, head_size)
                  && is_whole(x, type, apart) && is_whole(cosines) && is_whole(sines);
  for_matrix(rows * heads, pairs, whole, [&](i64 head, i64 pair, auto width) {
    const i64 place = head * head_size + pair * step;
    const auto firsts = fetch(x, type, place, width);
    const auto seconds = fetch(x, type, place + apart, width);
    const i64 angle = (i64)positions[(u32)head / (u32)heads] * pairs + pair;
    const auto cosine = load(cosines, element_f32, angle, width);
    const auto sine = load(sines, element_f32, angle, width);
    auto a = unpack(firsts), b = unpack(seconds);
    for (int j = 0; j < width.count; j++) {
      const float first = a.at[j], second = b.at[j], s = sign * sine.at[j];
      a.at[j] = first * cosine.at[j] - second * s;
      b.at[j] = second * cosine.at[j] + first * s;
    }
    store(x, type, place, a);
    store(x, type, place + apart, b);
  });
}
