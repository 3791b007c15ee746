/* Products in 16-bit integers by `vpdpwssd`: 8 rows x 48 lanes of int32 in 24 registers, which a
 * segment's end turns to fp32 and adds to the tile in L1.
 * Source: Intel, "Intrinsics Guide", AVX512_VNNI. */
#if defined(__x86_64__)
#include "../int16_slots.h"

#include "simd.h"
#pragma STDC FP_CONTRACT OFF

INLINE __m512 value_at(const float *x, const float *factors, long step) {
  __m512 value = _mm512_loadu_ps(x + step * 48);
  return factors ? _mm512_mul_ps(value, _mm512_set1_ps(factors[step])) : value;
}

/* One segment of one vector of lanes. */
INLINE void quantize(long k, const float *x, const float *factors, float unit, int16_t *lanes,
                     float *scales) {
  __m512 largest = _mm512_setzero_ps();
  for (long i = 0; i < k; i++) largest = larger(largest, value_at(x, factors, i));
  const __m512 inverse = inverse_of(largest, QLORA_INT16_LANE);
  _mm512_storeu_ps(scales, scale_of(_mm512_mul_ps(largest, _mm512_set1_ps(unit)), largest));
  for (long i = 0; i < k; i += 2) {
    /* NaN and infinity times 0 convert to 0x80000000, whose low half is 0. */
    __m512i even = _mm512_cvtps_epi32(_mm512_mul_ps(value_at(x, factors, i), inverse));
    __m512i odd = _mm512_cvtps_epi32(_mm512_mul_ps(value_at(x, factors, i + 1), inverse));
    __m512i pair = _mm512_mask_blend_epi16(0xAAAAAAAA, even, _mm512_slli_epi32(odd, 16));
    _mm512_storeu_si512(lanes + i * 48, pair);
  }
}

void qlora_int16_quantize_avx512vnni(long k, long segment, const float *x, const float *factors,
                                     float unit, int16_t *lanes, float *scales, long vectors) {
  for (; k > 0; k -= segment) {
    long count = k < segment ? k : segment;
    for (long i = 0; i < vectors; i++) {
      if (factors) quantize(count, x + 16 * i, factors, unit, lanes + 32 * i, scales + 16 * i);
      else quantize(count, x + 16 * i, NULL, unit, lanes + 32 * i, scales + 16 * i);
    }
    x += count * 48;
    lanes += count * 48;
    scales += 48;
    if (factors) factors += count;
  }
}

/* The exact sums of one segment. */
INLINE void sums_of(long k, const int16_t *codes, const int16_t *lanes, __m512i sums[8][3],
                    const int units) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < units; i++) sums[row][i] = _mm512_setzero_si512();
  }
  for (long step = 0; step < k; step += 2, codes += 16, lanes += 96) {
    __m512i pairs[3];
#pragma clang loop unroll(full)
    for (int i = 0; i < units; i++) pairs[i] = _mm512_loadu_si512(lanes + 32 * i);
#pragma clang loop unroll(full)
    for (int row = 0; row < 8; row++) {
      int32_t code;
      __builtin_memcpy(&code, codes + 2 * row, 4);
      const __m512i factor = _mm512_set1_epi32(code);
#pragma clang loop unroll(full)
      for (int i = 0; i < units; i++) {
        sums[row][i] = _mm512_dpwssd_epi32(sums[row][i], pairs[i], factor);
      }
    }
  }
}

INLINE void tile(long k, long segment, const int16_t *codes, const float *row_scales,
                 long row_stride, const int16_t *lanes, const float *lane_scales, float *c,
                 const int units, int accumulate) {
  for (; k > 0; k -= segment) {
    long count = k < segment ? k : segment;
    __m512i sums[8][3];
    sums_of(count, codes, lanes, sums, units);
    __m512 scales[3];
#pragma clang loop unroll(full)
    for (int i = 0; i < units; i++) scales[i] = _mm512_loadu_ps(lane_scales + 16 * i);
    const __mmask16 before = accumulate ? 0xFFFF : 0;
#pragma clang loop unroll(full)
    for (int row = 0; row < 8; row++) {
      const __m512 row_scale = _mm512_set1_ps(row_scales[row]);
#pragma clang loop unroll(full)
      for (int i = 0; i < units; i++) {
        float *place = c + row * 48 + 16 * i;
        __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[row][i]), row_scale);
        _mm512_storeu_ps(
            place, _mm512_fmadd_ps(value, scales[i], _mm512_maskz_loadu_ps(before, place)));
      }
    }
    accumulate = 1;
    codes += count * 8;
    lanes += count * 48;
    row_scales += row_stride;
    lane_scales += 48;
  }
}

void qlora_int16_tile_avx512vnni(long k, long segment, const int16_t *codes,
                                 const float *row_scales, long row_stride, const int16_t *lanes,
                                 const float *lane_scales, float *c, long vectors,
                                 int accumulate) {
  if (vectors == 3) {
    tile(k, segment, codes, row_scales, row_stride, lanes, lane_scales, c, 3, accumulate);
  } else if (vectors == 2) {
    tile(k, segment, codes, row_scales, row_stride, lanes, lane_scales, c, 2, accumulate);
  } else {
    tile(k, segment, codes, row_scales, row_stride, lanes, lane_scales, c, 1, accumulate);
  }
}

#pragma clang attribute pop  // begun by simd.h
#endif
