// Row kernels over `vec`: the norms, their gradients and rotary.
#pragma once
#include <math.h>

#include "vector.h"

/// sum = Σ over the row of a · b, expressions of `i` and `n`, in four interleaved sums so that the
/// additions overlap.
#define ROW_DOT(sum, width, a, b)                                                  \
  do {                                                                             \
    vec sums[4] = {vec_set(0), vec_set(0), vec_set(0), vec_set(0)};                \
    EACH_VECTOR(width, {                                                           \
      sums[0] = vec_fma(a, b, sums[0]);                                            \
      rotate(sums);                                                                \
    });                                                                            \
    sum = vec_sum(vec_add(vec_add(sums[0], sums[1]), vec_add(sums[2], sums[3])));  \
  } while (0)

INLINE void rotate(vec sums[4]) {
  const vec first = sums[0];
  sums[0] = sums[1];
  sums[1] = sums[2];
  sums[2] = sums[3];
  sums[3] = first;
}

INLINE void rms_norm_rows(long rows, long width, float epsilon, const void *x,
                          qlora_element x_type, const void *weight, qlora_element weight_type,
                          void *out, qlora_element out_type, float *inverse_rms) {
  for (long row = 0; row < rows; row++) {
    const void *from = element_at(x_type, x, row * width);
    void *to = (void *)element_at(out_type, out, row * width);
    float sum;
    ROW_DOT(sum, width, load(x_type, from, i, n), load(x_type, from, i, n));
    const float inverse = 1 / sqrtf(sum / (float)width + epsilon);
    inverse_rms[row] = inverse;
    EACH_VECTOR(width, {
      const vec normal = vec_mul(load(x_type, from, i, n), vec_set(inverse));
      store(out_type, to, i, n, vec_mul(normal, load(weight_type, weight, i, n)));
    });
  }
}

void KERNEL(rms_norm)(long rows, long width, float epsilon, const void *x,
                      qlora_element x_type, const void *weight, qlora_element weight_type,
                      void *out, qlora_element out_type, float *inverse_rms) {
  // The constants let the compiler drop the choice of type from the loops of the usual cases.
  if (x_type == F32 && weight_type == F32 && out_type == F32) {
    rms_norm_rows(rows, width, epsilon, x, F32, weight, F32, out, F32, inverse_rms);
  } else if (x_type == BF16 && weight_type == F32 && out_type == BF16) {
    rms_norm_rows(rows, width, epsilon, x, BF16, weight, F32, out, BF16, inverse_rms);
  } else {
    rms_norm_rows(rows, width, epsilon, x, x_type, weight, weight_type, out, out_type,
                  inverse_rms);
  }
}

INLINE void rms_norm_backward_rows(long rows, long width, const float *dy, const void *x,
                                   qlora_element x_type, const void *weight,
                                   qlora_element weight_type, const float *inverse_rms, float *dx,
                                   int accumulate) {
  for (long row = 0; row < rows; row++) {
    const void *from = element_at(x_type, x, row * width);
    const float *gradient = dy + row * width;
    float *to = dx + row * width, sum;
    ROW_DOT(sum, width, vec_mul(load(F32, gradient, i, n), load(weight_type, weight, i, n)),
            load(x_type, from, i, n));
    const float inverse = inverse_rms[row];
    const vec shift = vec_set(inverse * inverse * inverse * sum / (float)width);
    EACH_VECTOR(width, {
      const vec scaled = vec_mul(load(weight_type, weight, i, n), vec_set(inverse));
      const vec direct = vec_mul(load(F32, gradient, i, n), scaled);
      const vec value = vec_fnma(shift, load(x_type, from, i, n), direct);
      store(F32, to, i, n, accumulate ? vec_add(load(F32, to, i, n), value) : value);
    });
  }
}

void KERNEL(rms_norm_backward)(long rows, long width, const float *dy, const void *x,
                               qlora_element x_type, const void *weight,
                               qlora_element weight_type, const float *inverse_rms, float *dx,
                               int accumulate) {
  if (x_type == F32 && weight_type == F32) {
    rms_norm_backward_rows(rows, width, dy, x, F32, weight, F32, inverse_rms, dx, accumulate);
  } else if (x_type == BF16 && weight_type == F32) {
    rms_norm_backward_rows(rows, width, dy, x, BF16, weight, F32, inverse_rms, dx, accumulate);
  } else {
    rms_norm_backward_rows(rows, width, dy, x, x_type, weight, weight_type, inverse_rms, dx,
                           accumulate);
  }
}

/// x − mean, and zeros in the lanes past `n`.
INLINE vec centred(qlora_element type, const void *x, long i, long n, vec mean) {
  const vec value = vec_sub(load(type, x, i, n), mean);
  if (n == LANES) return value;
  float lanes[LANES] = {0};
  store(F32, lanes, 0, n, value);
  return vec_load(lanes);
}

void KERNEL(layer_norm)(long rows, long width, float epsilon, const void *x, qlora_element x_type,
                        const float *weight, const float *bias, void *out, qlora_element out_type,
                        float *statistics) {
  for (long row = 0; row < rows; row++) {
    const void *from = element_at(x_type, x, row * width);
    void *to = (void *)element_at(out_type, out, row * width);
    float sum, squares;
    ROW_DOT(sum, width, load(x_type, from, i, n), vec_set(1));
    const float average = sum / (float)width;
    const vec mean = vec_set(average);
    ROW_DOT(squares, width, centred(x_type, from, i, n, mean), centred(x_type, from, i, n, mean));
    const float inverse = 1 / sqrtf(squares / (float)width + epsilon);
    statistics[2 * row] = average;
    statistics[2 * row + 1] = inverse;
    EACH_VECTOR(width, {
      const vec normal = vec_mul(vec_sub(load(x_type, from, i, n), mean), vec_set(inverse));
      store(out_type, to, i, n, vec_fma(normal, load(F32, weight, i, n), load(F32, bias, i, n)));
    });
  }
}

void KERNEL(layer_norm_backward)(long rows, long width, const float *dy, const void *x,
                                 qlora_element x_type, const float *weight,
                                 const float *statistics, float *dx, int accumulate) {
  for (long row = 0; row < rows; row++) {
    const void *from = element_at(x_type, x, row * width);
    const float *gradient = dy + row * width;
    float *to = dx + row * width, sum, product;
    const vec mean = vec_set(statistics[2 * row]), inverse = vec_set(statistics[2 * row + 1]);
    ROW_DOT(sum, width, load(F32, gradient, i, n), load(F32, weight, i, n));
    ROW_DOT(product, width, vec_mul(load(F32, gradient, i, n), load(F32, weight, i, n)),
            vec_mul(vec_sub(load(x_type, from, i, n), mean), inverse));
    const vec shift = vec_set(sum / (float)width), slope = vec_set(product / (float)width);
    EACH_VECTOR(width, {
      const vec direct = vec_mul(load(F32, gradient, i, n), load(F32, weight, i, n));
      const vec normal = vec_mul(vec_sub(load(x_type, from, i, n), mean), inverse);
      const vec value = vec_mul(inverse, vec_fnma(normal, slope, vec_sub(direct, shift)));
      store(F32, to, i, n, accumulate ? vec_add(load(F32, to, i, n), value) : value);
    });
  }
}

void KERNEL(rotary)(long rows, long heads, long head_size, long rotated, void *x,
                    qlora_element type, const int32_t *positions, const float *cosines,
                    const float *sines, int inverse) {
  const long half = rotated / 2;
  const vec sign = vec_set(inverse ? -1 : 1);
  for (long row = 0; row < rows; row++) {
    const float *cosine = cosines + positions[row] * half, *sine = sines + positions[row] * half;
    for (long head = 0; head < heads; head++) {
      const long base = (row * heads + head) * head_size;
      void *first = (void *)element_at(type, x, base);
      void *second = (void *)element_at(type, x, base + half);
      EACH_VECTOR(half, {
        const vec a = load(type, first, i, n);
        const vec b = load(type, second, i, n);
        const vec c = load(F32, cosine, i, n);
        const vec s = vec_mul(load(F32, sine, i, n), sign);
        store(type, first, i, n, vec_fnma(b, s, vec_mul(a, c)));
        store(type, second, i, n, vec_fma(a, s, vec_mul(b, c)));
      });
    }
  }
}
