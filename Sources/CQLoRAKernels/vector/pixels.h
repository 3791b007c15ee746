// What image models need over columns and rows of scores, over `vec`.
#pragma once
#include <math.h>

#include "vector.h"

INLINE void logistic_multiply(long count, vec steepness, const void *x, qlora_element x_type,
                              void *out, qlora_element out_type) {
  EACH_VECTOR(count, {
    const vec value = load(x_type, x, i, n);
    store(out_type, out, i, n, vec_mul(value, vec_sigmoid(vec_mul(steepness, value))));
  });
}

void KERNEL(logistic_multiply)(long count, float steepness, const void *x, qlora_element x_type,
                               void *out, qlora_element out_type) {
  if (x_type == F32 && out_type == F32) {
    logistic_multiply(count, vec_set(steepness), x, F32, out, F32);
  } else {
    logistic_multiply(count, vec_set(steepness), x, x_type, out, out_type);
  }
}

/// Row by row with the sums in memory, so that x is read as it lies.
void KERNEL(column_moments)(long rows, long width, const float *x, const float *centre, float *sums,
                            float *squares) {
  for (long row = 0; row < rows; row++) {
    const float *from = x + row * width;
    EACH_VECTOR(width, {
      const vec value = vec_sub(load(F32, from, i, n), load(F32, centre, i, n));
      store(F32, sums, i, n, vec_add(load(F32, sums, i, n), value));
      store(F32, squares, i, n, vec_fma(value, value, load(F32, squares, i, n)));
    });
  }
}

INLINE void column_affine(long rows, long width, const float *x, const float *centre,
                          const float *scale, const float *shift, const int activates, void *out,
                          qlora_element out_type) {
  for (long row = 0; row < rows; row++) {
    const float *from = x + row * width;
    void *to = (void *)element_at(out_type, out, row * width);
    EACH_VECTOR(width, {
      const vec apart = vec_sub(load(F32, from, i, n), load(F32, centre, i, n));
      const vec value = vec_fma(apart, load(F32, scale, i, n), load(F32, shift, i, n));
      store(out_type, to, i, n, activates ? vec_mul(value, vec_sigmoid(value)) : value);
    });
  }
}

void KERNEL(column_affine)(long rows, long width, const float *x, const float *centre,
                           const float *scale, const float *shift, int activates, void *out,
                           qlora_element out_type) {
  if (activates && out_type == BF16) {
    column_affine(rows, width, x, centre, scale, shift, 1, out, BF16);
  } else if (activates && out_type == F32) {
    column_affine(rows, width, x, centre, scale, shift, 1, out, F32);
  } else {
    column_affine(rows, width, x, centre, scale, shift, activates, out, out_type);
  }
}

INLINE float largest_lane(vec values) {
  float lanes[LANES], largest = -INFINITY;
  vec_store(lanes, values);
  for (int i = 0; i < LANES; i++) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
}

void KERNEL(softmax_row)(long count, float scale, float *scores, const float *bias, void *out,
                         qlora_element out_type) {
  vec largest = vec_set(-INFINITY);
  float peak = -INFINITY;
  EACH_VECTOR(count, {
    vec value = vec_mul(load(F32, scores, i, n), vec_set(scale));
    if (bias) value = vec_add(value, load(F32, bias, i, n));
    store(F32, scores, i, n, value);
    if (n == LANES) largest = vec_max(value, largest);
  });
  // The lanes past the end hold no scores.
  for (long i = count - count % LANES; i < count; i++) peak = scores[i] > peak ? scores[i] : peak;
  const float whole = largest_lane(largest);
  const vec shift = vec_set(whole > peak ? whole : peak);
  vec sums = vec_set(0);
  float rest = 0;
  EACH_VECTOR(count, {
    const vec value = vec_exp(vec_sub(load(F32, scores, i, n), shift));
    store(F32, scores, i, n, value);
    if (n == LANES) sums = vec_add(sums, value);
  });
  for (long i = count - count % LANES; i < count; i++) rest += scores[i];
  const vec inverse = vec_set(1 / (vec_sum(sums) + rest));
  EACH_VECTOR(count, store(out_type, out, i, n, vec_mul(load(F32, scores, i, n), inverse)));
}
