/* Block scales and 4-bit codes: a branchless binary search in the 15 thresholds. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"
#pragma STDC FP_CONTRACT OFF

QLORA_INLINE __mmask16 first(long count) {
  return count >= 16 ? 0xFFFF : (__mmask16)((1u << count) - 1);
}

float qlora_absmax_avx512(long count, const float *x) {
  /* As integers, which order magnitudes as floats do and put infinity and NaN above all. */
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i largest = _mm512_setzero_si512();
  for (long i = 0; i < count; i += 16) {
    const __m512i bits = _mm512_maskz_loadu_epi32(first(count - i), x + i);
    largest = _mm512_max_epi32(largest, _mm512_and_si512(magnitude, bits));
  }
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_set1_epi32(_mm512_reduce_max_epi32(largest))));
}

void qlora_encode_avx512(long count, const float *x, float factor, int divide,
                         const float *thresholds, uint8_t *codes) {
  const __m512 table = _mm512_maskz_loadu_ps(0x7FFF, thresholds);
  const __m512 by = _mm512_set1_ps(factor);
  for (long i = 0; i < count; i += 16) {
    __mmask16 mask = first(count - i);
    __m512 value = _mm512_maskz_loadu_ps(mask, x + i);
    value = divide ? _mm512_div_ps(value, by) : _mm512_mul_ps(value, by);
    __m512i code = _mm512_setzero_si512();
#pragma clang loop unroll(full)
    for (int step = 8; step > 0; step /= 2) {
      __m512i probe = _mm512_add_epi32(code, _mm512_set1_epi32(step - 1));
      __mmask16 above =
          _mm512_cmp_ps_mask(value, _mm512_permutexvar_ps(probe, table), _CMP_GT_OQ);
      code = _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(step));
    }
    _mm_mask_storeu_epi8(codes + i, mask, _mm512_cvtepi32_epi8(code));
  }
}

void qlora_insert_codes_avx512(long count, const uint8_t *codes, uint32_t *lines) {
  qlora_insert_codes_avx2(count, codes, lines);
}

#include "end.h"
#endif
