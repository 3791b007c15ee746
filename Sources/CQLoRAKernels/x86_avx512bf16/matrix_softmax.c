/* The softmax of a stretch of the vocabulary in AVX-512, row by row. */
#if defined(__x86_64__)
#include "../matrix_slots.h"

#include <math.h>
#include <string.h>

#include "begin.h"

/* Lanes past `count` hold what no maximum and no sum notices. */
INLINE __m512 logits_at(const float *c, long count) {
  return _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), first16(count), c);
}

INLINE void find_largest(long columns, const float *logits, long first, qlora_softmax_row *state) {
  __m512 best = _mm512_set1_ps(-INFINITY);
  for (long n = 0; n < columns; n += 16) {
    best = _mm512_max_ps(logits_at(logits + n, columns - n), best);
  }
  const float largest = _mm512_reduce_max_ps(best);
  if (!(largest > state->largest)) return;
  state->largest = largest;
  for (long n = 0; n < columns; n += 16) {
    const __mmask16 found = _mm512_cmp_ps_mask(
        logits_at(logits + n, columns - n), _mm512_set1_ps(largest), _CMP_EQ_OQ);
    if (found) {
      state->winner = (int32_t)(first + n + __builtin_ctz(found));
      return;
    }
  }
}

void qlora_matrix_softmax_avx512bf16(long rows, long columns, const float *c, long stride,
                                     long first, qlora_softmax_row *state, float *factors,
                                     uint16_t *out) {
  const long width = qlora_steps(columns) * QLORA_STEP;
  if (out && rows < QLORA_STRIP_ROWS) {
    memset(out, 0, (size_t)width * QLORA_STRIP_ROWS * sizeof *out);
  }
  for (long row = 0; row < rows; row++, state++) {
    const float *logits = c + row * stride;
    const float before = state->largest;
    const long target = state->target - first;
    find_largest(columns, logits, first, state);
    const __m512 shift = _mm512_set1_ps(state->largest);
    __m512 sum = _mm512_setzero_ps();
    for (long n = 0; n < width; n += 16) {
      __m512 weight = _mm512_setzero_ps();
      if (n < columns) {
        weight = vec_exp(_mm512_sub_ps(logits_at(logits + n, columns - n), shift));
        if (target >= n && target < n + 16) {
          weight = _mm512_mask_mov_ps(
              weight, (__mmask16)(1u << (target - n)), _mm512_setzero_ps());
        }
        sum = _mm512_add_ps(sum, weight);
      }
      if (out) {
        vec_store_bf16(
            out + n / 32 * QLORA_STEP_ELEMENTS + row * QLORA_STEP_ROW + n % 32, weight);
      }
    }
    const float factor = before == state->largest ? 1 : expf(before - state->largest);
    state->others = state->others * factor + (double)_mm512_reduce_add_ps(sum);
    if (target >= 0 && target < columns) state->target_logit = logits[target];
    if (out) factors[row] = factor;
  }
}
#include "end.h"
#endif
