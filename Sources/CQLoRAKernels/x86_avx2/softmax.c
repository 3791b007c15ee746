/* What a softmax over a vocabulary needs, down the lanes of a tile: six vectors a row. */
#include "../product_slots.h"

#include "begin.h"
#include "exp.h"

void qlora_lane_max_avx2(long rows, const float *c, float *largest, int32_t *row) {
  for (long lane = 0; lane < 48; lane += 8) {
    __m256 best = _mm256_loadu_ps(c + lane), where = _mm256_setzero_ps();
    for (long i = 1; i < rows; i++) {
      const __m256 value = _mm256_loadu_ps(c + i * 48 + lane);
      const __m256 above = _mm256_cmp_ps(value, best, _CMP_GT_OQ);
      best = _mm256_blendv_ps(best, value, above);
      where = _mm256_blendv_ps(where, _mm256_castsi256_ps(_mm256_set1_epi32((int)i)), above);
    }
    _mm256_storeu_ps(largest + lane, best);
    _mm256_storeu_si256((__m256i *)(row + lane), _mm256_castps_si256(where));
  }
}

void qlora_lane_exp_sum_avx2(long rows, const float *c, const float *shift, float *sum) {
  for (long lane = 0; lane < 48; lane += 8) {
    const __m256 by = _mm256_loadu_ps(shift + lane);
    __m256 total = _mm256_setzero_ps();
    for (long i = 0; i < rows; i++) {
      total = _mm256_add_ps(
          total, qlora_exp(_mm256_sub_ps(_mm256_loadu_ps(c + i * 48 + lane), by)));
    }
    _mm256_storeu_ps(sum + lane, total);
  }
}

void qlora_lane_exp_avx2(long rows, float *c, const float *shift) {
  for (long lane = 0; lane < 48; lane += 8) {
    const __m256 by = _mm256_loadu_ps(shift + lane);
    for (long i = 0; i < rows; i++) {
      float *place = c + i * 48 + lane;
      _mm256_storeu_ps(place, qlora_exp(_mm256_sub_ps(_mm256_loadu_ps(place), by)));
    }
  }
}

#include "end.h"
