// The softmax of one row of scores, as attention on the matrix unit wants it: visible keys first.
#pragma once
#include <math.h>

typedef struct {
  float maximum[32], sum[32];
} running_softmax;

/* Zeros in columns from ..< to, multiples of 32, of one row of a strip. */
QLORA_INLINE void clear_steps(long from, long to, uint16_t *out) {
  for (long n = from; n < to; n += 32) {
    _mm512_storeu_si512(out + n * QLORA_STRIP_ROWS, _mm512_setzero_si512());
  }
}

/* Columns n ..< n + 16 of scores times scale; -infinity from `count` on. */
QLORA_INLINE __m512 scaled_scores(const float *scores, long n, long count, __m512 scale) {
  const __m512 value = _mm512_mul_ps(_mm512_loadu_ps(scores + n), scale);
  return _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), first16(count - n), value);
}

/* Weights exp(scale * score - maximum) of the first `count` scores to one row of a strip, zeros up
 * to `width`, a multiple of 32. Returns what earlier sums are to be multiplied by. */
QLORA_INLINE float softmax_row(long count, long width, const float *scores, float scale,
                               float *maximum, float *sum, uint16_t *out) {
  if (count <= 0) {
    clear_steps(0, width, out);
    return 1;
  }
  const __m512 factor = _mm512_set1_ps(scale);
  __m512 largest = _mm512_set1_ps(*maximum);
  for (long n = 0; n < count; n += 16) {
    largest = _mm512_max_ps(scaled_scores(scores, n, count, factor), largest);
  }
  const float before = *maximum, peak = _mm512_reduce_max_ps(largest);
  const __m512 shift = _mm512_set1_ps(peak);
  __m512 total = _mm512_setzero_ps();
  for (long n = 0; n < width; n += 32) {
    const __m512 low = vec_exp(_mm512_sub_ps(scaled_scores(scores, n, count, factor), shift));
    const __m512 high = vec_exp(_mm512_sub_ps(scaled_scores(scores, n + 16, count, factor), shift));
    total = _mm512_add_ps(total, _mm512_add_ps(low, high));
    _mm512_storeu_si512(out + n * QLORA_STRIP_ROWS, narrow(low, high));
  }
  const float decay = before == peak ? 1 : expf(before - peak);
  *maximum = peak;
  *sum = *sum * decay + _mm512_reduce_add_ps(total);
  return decay;
}
