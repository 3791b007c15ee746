// The vector primitives in AVX2 with FMA and F16C: eight floats at a time.
#pragma once
#include <immintrin.h>
#include <stdint.h>

// All functions from here to the end of the including file may use AVX2, FMA and F16C, whatever the
// compiler's command line says.
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define ISA avx2
#define LANES 8
#define INLINE static inline __attribute__((always_inline))

typedef __m256 vec;

INLINE vec vec_load(const float *x) { return _mm256_loadu_ps(x); }
INLINE void vec_store(float *x, vec a) { _mm256_storeu_ps(x, a); }
INLINE vec vec_set(float a) { return _mm256_set1_ps(a); }
INLINE vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec vec_div(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec vec_sqrt(vec a) { return _mm256_sqrt_ps(a); }
/// a·b + c and c − a·b, rounded once.
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec vec_fnma(vec a, vec b, vec c) { return _mm256_fnmadd_ps(a, b, c); }
/// Where one operand is NaN, the second is taken.
INLINE vec vec_max(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec vec_min(vec a, vec b) { return _mm256_min_ps(a, b); }
INLINE vec vec_round(vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/// 2^n for integral n in −126 ... 127.
INLINE vec vec_power2(__m256i n) {
  const __m256i biased = _mm256_add_epi32(n, _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

/// a · 2^n for integral n in −252 ... 254: two factors, because 2^128 alone is no float.
INLINE vec vec_scale2(vec a, vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  return vec_mul(vec_mul(a, vec_power2(half)), vec_power2(_mm256_sub_epi32(whole, half)));
}

/// a < b ? yes : no, lane by lane.
INLINE vec vec_if_less(vec a, vec b, vec yes, vec no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

INLINE float vec_sum(vec a) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

INLINE vec vec_load_bf16(const uint16_t *x) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)x));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

INLINE void vec_store_bf16(uint16_t *x, vec a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(sum, quiet, nan), 16);
  const __m128i low8 = _mm256_castsi256_si128(high), high8 = _mm256_extracti128_si256(high, 1);
  _mm_storeu_si128((void *)x, _mm_packus_epi32(low8, high8));
}

INLINE vec vec_load_f16(const uint16_t *x) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const void *)x));
}

INLINE void vec_store_f16(uint16_t *x, vec a) {
  const __m128i half = _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm_storeu_si128((void *)x, half);
}
