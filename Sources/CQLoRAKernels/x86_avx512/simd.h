// The vector primitives in AVX-512: sixteen floats at a time.
#pragma once
#include <immintrin.h>
#include <stdint.h>

// All functions from here to the end of the including file may use AVX-512 F, BW, DQ and VL, or
// what the including file says, whatever the compiler's command line does.
#ifndef SIMD_TARGET
#define SIMD_TARGET "avx512f,avx512bw,avx512dq,avx512vl,fma,avx2,f16c"
#endif
#pragma clang attribute push(__attribute__((target(SIMD_TARGET))), apply_to = function)

#define ISA avx512
#define LANES 16
#define INLINE static inline __attribute__((always_inline))

typedef __m512 vec;

INLINE vec vec_load(const float *x) { return _mm512_loadu_ps(x); }
INLINE void vec_store(float *x, vec a) { _mm512_storeu_ps(x, a); }
INLINE vec vec_set(float a) { return _mm512_set1_ps(a); }
INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec vec_sqrt(vec a) { return _mm512_sqrt_ps(a); }
/// a·b + c and c − a·b, rounded once.
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec vec_fnma(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); }
/// Where one operand is NaN, the second is taken.
INLINE vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }
INLINE vec vec_round(vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/// a · 2^n for integral n.
INLINE vec vec_scale2(vec a, vec n) { return _mm512_scalef_ps(a, n); }
/// a < b ? yes : no, lane by lane.
INLINE vec vec_if_less(vec a, vec b, vec yes, vec no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
INLINE float vec_sum(vec a) { return _mm512_reduce_add_ps(a); }

INLINE vec vec_load_bf16(const uint16_t *x) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)x));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE void vec_store_bf16(uint16_t *x, vec a) {
  const __m512i bits = _mm512_castps_si512(a);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
  const __m512i high = _mm512_srli_epi32(_mm512_mask_blend_epi32(nan, sum, quiet), 16);
  _mm256_storeu_si256((void *)x, _mm512_cvtepi32_epi16(high));
}

INLINE vec vec_load_f16(const uint16_t *x) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)x));
}

INLINE void vec_store_f16(uint16_t *x, vec a) {
  const __m256i half = _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_storeu_si256((void *)x, half);
}
