/* Products in 16-bit integers by `vpdpwssd`: 8 rows x 48 lanes of int32 in 24 registers, which a
 * segment's end turns to fp32 and adds to the tile in L1.
 * Source: Intel, "Intrinsics Guide", AVX512_VNNI. */
#if defined(__x86_64__)
#include "../int16_slots.h"

#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,avx2"))), \
    apply_to = function)
#pragma STDC FP_CONTRACT OFF

#define INLINE static inline __attribute__((always_inline))

INLINE __m512 value_at(const float *x, const float *factors, long step) {
  __m512 value = _mm512_loadu_ps(x + step * 48);
  return factors ? _mm512_mul_ps(value, _mm512_set1_ps(factors[step])) : value;
}

/* Compared as bits, so that a NaN is larger than everything. */
INLINE __m512 largest_of(long k, const float *x, const float *factors) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i largest = _mm512_setzero_si512();
  for (long i = 0; i < k; i++) {
    __m512i bits = _mm512_castps_si512(value_at(x, factors, i));
    largest = _mm512_max_epu32(largest, _mm512_and_si512(bits, magnitude));
  }
  return _mm512_castsi512_ps(largest);
}

/* One segment of one vector of lanes. */
INLINE void quantize(long k, const float *x, const float *factors, float unit, int16_t *lanes,
                     float *scales) {
  const __m512 largest = largest_of(k, x, factors);
  const __mmask16 finite =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
  const __mmask16 some =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(QLORA_INT16_LEAST), _CMP_GE_OQ) & finite;
  const __m512 inverse =
      _mm512_maskz_div_ps(some, _mm512_set1_ps(QLORA_INT16_LANE), largest);
  const __m512 scale = _mm512_maskz_mul_ps(some, largest, _mm512_set1_ps(unit));
  _mm512_storeu_ps(scales, _mm512_mask_mov_ps(_mm512_set1_ps(__builtin_nanf("")), finite, scale));
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

/* The table twice: `vpermw` looks at the low 5 bits, so the codes need no mask. */
INLINE __m512i twice(const int16_t *table) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)table));
}

/* Of a line's words, 2 l is lane l's columns 0 ... 7 and 2 l + 1 its columns 8 ... 15, even ones in
 * lanes 0 ... 7. Element (row, parity) of both halves of the result is the word of that parity. */
INLINE __m512i words_of_rows(const int half) {
  int16_t words[32];
#pragma clang loop unroll(full)
  for (int i = 0; i < 32; i++) words[i] = (int16_t)(2 * (i % 16 / 2 + 8 * (i % 2)) + half);
  return _mm512_loadu_si512(words);
}

void qlora_int16_decode_rows_avx512vnni(long lines, const uint8_t *lines_of_codes,
                                        const int16_t *table, int16_t *codes) {
  const __m512i values = twice(table);
  const __m512i low = words_of_rows(0), high = words_of_rows(1);
  const __m512i first = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
  const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(8));
  for (long i = 0; i < lines; i++, codes += 128) {
    const __m512i line = _mm512_loadu_si512(lines_of_codes + i * 64);
    const __m512i halves[2] = {_mm512_permutexvar_epi16(low, line),
                               _mm512_permutexvar_epi16(high, line)};
#pragma clang loop unroll(full)
    for (int half = 0; half < 2; half++) {
      const __m512i pairs = _mm512_srlv_epi16(halves[half], first);
      const __m512i later = _mm512_srlv_epi16(halves[half], second);
      _mm512_storeu_si512(codes + half * 64, _mm512_permutexvar_epi16(pairs, values));
      _mm512_storeu_si512(codes + half * 64 + 32, _mm512_permutexvar_epi16(later, values));
    }
  }
}

/* Element (column, parity) is the word that holds row 2 * pair + parity of that column. */
INLINE __m512i words_of_columns(const int pair) {
  int16_t words[32];
#pragma clang loop unroll(full)
  for (int i = 0; i < 32; i++) {
    const int column = i / 2, lane = 2 * pair + i % 2 + 8 * (column % 2);
    words[i] = (int16_t)(2 * lane + column / 8);
  }
  return _mm512_loadu_si512(words);
}

void qlora_int16_decode_columns_avx512vnni(long lines, const uint8_t *lines_of_codes,
                                           const int16_t *table, const int16_t *ratios,
                                           long first_line, long lines_per_block, int16_t *codes,
                                           long half_stride) {
  const __m512i values = twice(table);
  int16_t bits[32];
  for (int i = 0; i < 32; i++) bits[i] = (int16_t)(4 * (i / 4 % 4));
  const __m512i shifts = _mm512_loadu_si512(bits), eighth = _mm512_set1_epi16(1 << 12);
  const __m512i words[4] = {words_of_columns(0), words_of_columns(1), words_of_columns(2),
                            words_of_columns(3)};
  for (long i = 0; i < lines; i++, codes += 2 * half_stride) {
    const __m512i line = _mm512_loadu_si512(lines_of_codes + i * 64);
    const int16_t *ratio = ratios + (first_line + i) / lines_per_block * 8;
#pragma clang loop unroll(full)
    for (int pair = 0; pair < 4; pair++) {
      int32_t both;
      __builtin_memcpy(&both, ratio + 2 * pair, 4);
      const __m512i chosen = _mm512_permutexvar_epi16(words[pair], line);
      const __m512i value = _mm512_permutexvar_epi16(_mm512_srlv_epi16(chosen, shifts), values);
      const __m512i scaled = _mm512_mulhrs_epi16(value, _mm512_set1_epi32(both));
      const __m512i result = _mm512_mulhrs_epi16(scaled, eighth);
      _mm256_storeu_si256((void *)(codes + pair * 16), _mm512_castsi512_si256(result));
      _mm256_storeu_si256((void *)(codes + half_stride + pair * 16),
                          _mm512_extracti64x4_epi64(result, 1));
    }
  }
}
#pragma clang attribute pop
#endif
