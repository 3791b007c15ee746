/* What the files of this folder begin with: all functions from here on may use AVX-512 F, BW, DQ,
 * VL and VNNI, whatever the compiler's command line says. */
#pragma once
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,avx2"))), \
    apply_to = function)

#define INLINE static inline __attribute__((always_inline, unused))

/* Compared as bits, so that a NaN is larger than everything. */
INLINE __m512 larger(__m512 magnitudes, __m512 values) {
  const __m512i bits =
      _mm512_and_si512(_mm512_castps_si512(values), _mm512_set1_epi32(0x7FFFFFFF));
  return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(magnitudes), bits));
}

/* limit / largest, or 0 where that is no number, infinite or too small. */
INLINE __m512 inverse_of(__m512 largest, float limit) {
  const __mmask16 finite =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
  const __mmask16 some =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(QLORA_INT16_LEAST), _CMP_GE_OQ);
  return _mm512_maskz_div_ps(finite & some, _mm512_set1_ps(limit), largest);
}

/* A scale where there is an inverse, a NaN where the largest is no number or infinite, else 0. */
INLINE __m512 scale_of(__m512 scale, __m512 largest) {
  const __mmask16 infinite =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(__builtin_inff()), _CMP_NLT_UQ);
  const __mmask16 some =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(QLORA_INT16_LEAST), _CMP_GE_OQ);
  return _mm512_mask_mov_ps(
      _mm512_maskz_mov_ps(some, scale), infinite, _mm512_set1_ps(__builtin_nanf("")));
}
