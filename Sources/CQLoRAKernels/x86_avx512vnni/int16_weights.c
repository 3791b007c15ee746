/* 4-bit weights to 16-bit integers by one permutation of the whole table, fp32 ones by rounding. */
#if defined(__x86_64__)
#include "../int16_slots.h"

#include "simd.h"
#pragma STDC FP_CONTRACT OFF

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

/* The larger of both halves, in both. */
INLINE __m512 join_halves(__m512 magnitudes) {
  return larger(magnitudes, _mm512_shuffle_f32x4(magnitudes, magnitudes, 0x4E));
}

/* Nearest integers; NaN and infinity times 0 convert to 0x80000000, whose low half is 0. */
INLINE __m512i nearest(__m512 values, __m512 inverse) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(values, inverse));
}

void qlora_int16_quantize_rows_avx512vnni(long k, long segment, const float *panel, int16_t *codes,
                                          float *scales) {
  for (; k > 0; k -= segment) {
    const long count = k < segment ? k : segment;
    __m512 largest = _mm512_setzero_ps();
    for (long i = 0; i < count; i += 2) {
      largest = larger(largest, _mm512_loadu_ps(panel + i * 8));
    }
    largest = join_halves(largest);
    const __m512 inverse = inverse_of(largest, QLORA_INT16_WEIGHT);
    const __m512 scale = _mm512_div_ps(largest, _mm512_set1_ps(QLORA_INT16_WEIGHT));
    _mm256_storeu_ps(scales, _mm512_castps512_ps256(scale_of(scale, largest)));
    for (long i = 0; i < count; i += 2) {
      /* Even columns in the lower half, odd ones in the upper. */
      const __m512i values = nearest(_mm512_loadu_ps(panel + i * 8), inverse);
      const __m256i odd = _mm256_slli_epi32(_mm512_extracti64x4_epi64(values, 1), 16);
      const __m256i pairs = _mm256_blend_epi16(_mm512_castsi512_si256(values), odd, 0xAA);
      _mm256_storeu_si256((void *)(codes + i * 8), pairs);
    }
    panel += count * 8;
    codes += count * 8;
    scales += 8;
  }
}

/* The largest of each half's eight, in all of it. */
INLINE __m512 join_rows(__m512 magnitudes) {
  magnitudes = larger(magnitudes, _mm512_shuffle_f32x4(magnitudes, magnitudes, 0xB1));
  magnitudes = larger(magnitudes, _mm512_permute_ps(magnitudes, 0x4E));
  return larger(magnitudes, _mm512_permute_ps(magnitudes, 0xB1));
}

void qlora_int16_quantize_columns_avx512vnni(long groups, const float *panel, long group_stride,
                                             int16_t *codes, float *scales) {
  __m512 largest[4];
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    /* Two columns of eight rows. */
    largest[i] = _mm512_setzero_ps();
    for (long group = 0; group < groups; group++) {
      largest[i] = larger(largest[i], _mm512_loadu_ps(panel + group * group_stride + 16 * i));
    }
    largest[i] = join_rows(largest[i]);
    const __m512 scale = _mm512_div_ps(largest[i], _mm512_set1_ps(QLORA_INT16_WEIGHT));
    _mm512_mask_compressstoreu_ps(scales + 2 * i, 0x0101, scale_of(scale, largest[i]));
    largest[i] = inverse_of(largest[i], QLORA_INT16_WEIGHT);
  }
  /* Dwords of the first four columns and of the last four, four pairs of rows each. */
  const __m512i low = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(2));
  for (long group = 0; group < groups; group++, codes += 64) {
    const float *columns = panel + group * group_stride;
    __m256i words[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      words[i] = _mm512_cvtepi32_epi16(nearest(_mm512_loadu_ps(columns + 16 * i), largest[i]));
    }
    const __m512i first = _mm512_inserti64x4(_mm512_castsi256_si512(words[0]), words[1], 1);
    const __m512i last = _mm512_inserti64x4(_mm512_castsi256_si512(words[2]), words[3], 1);
    _mm512_storeu_si512(codes, _mm512_permutex2var_epi32(first, low, last));
    _mm512_storeu_si512(codes + 32, _mm512_permutex2var_epi32(first, high, last));
  }
}
#pragma clang attribute pop  // begun by simd.h
#endif
