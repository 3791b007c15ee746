/* What a softmax over a vocabulary needs, down the lanes of a tile: three vectors a row. */
#include "../product_slots.h"

#include "begin.h"
#include "exp.h"

void qlora_lane_max_avx512(long rows, const float *c, float *largest, int32_t *row) {
  for (long lane = 0; lane < 48; lane += 16) {
    __m512 best = _mm512_loadu_ps(c + lane);
    __m512i where = _mm512_setzero_si512();
    for (long i = 1; i < rows; i++) {
      __m512 value = _mm512_loadu_ps(c + i * 48 + lane);
      __mmask16 above = _mm512_cmp_ps_mask(value, best, _CMP_GT_OQ);
      best = _mm512_mask_mov_ps(best, above, value);
      where = _mm512_mask_mov_epi32(where, above, _mm512_set1_epi32((int)i));
    }
    _mm512_storeu_ps(largest + lane, best);
    _mm512_storeu_si512(row + lane, where);
  }
}

void qlora_lane_exp_sum_avx512(long rows, const float *c, const float *shift, float *sum) {
  for (long lane = 0; lane < 48; lane += 16) {
    const __m512 by = _mm512_loadu_ps(shift + lane);
    __m512 total = _mm512_setzero_ps();
    for (long i = 0; i < rows; i++) {
      total = _mm512_add_ps(
          total, qlora_exp(_mm512_sub_ps(_mm512_loadu_ps(c + i * 48 + lane), by)));
    }
    _mm512_storeu_ps(sum + lane, total);
  }
}

void qlora_lane_exp_avx512(long rows, float *c, const float *shift) {
  for (long lane = 0; lane < 48; lane += 16) {
    const __m512 by = _mm512_loadu_ps(shift + lane);
    for (long i = 0; i < rows; i++) {
      float *place = c + i * 48 + lane;
      _mm512_storeu_ps(place, qlora_exp(_mm512_sub_ps(_mm512_loadu_ps(place), by)));
    }
  }
}

#include "end.h"
