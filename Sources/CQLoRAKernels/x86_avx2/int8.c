/* LLM.int8's products with AVX2: `vpmaddubsw` of |weight| and the activation with the weight's sign
 * cannot saturate, because activations never reach -128. */
#if defined(__x86_64__)
#include "../int8_slots.h"
#include "begin.h"

#pragma STDC FP_CONTRACT OFF

QLORA_INLINE __m256 rounded_to_half(__m256 values) {
  return _mm256_cvtph_ps(_mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Eight values, zeros past the end. */
QLORA_INLINE __m256 load(long count, const float *x) {
  if (count >= 8) return _mm256_loadu_ps(x);
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(x, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lanes));
}

float qlora_int8_absmax_avx2(long count, const float *x, float threshold, uint8_t *outliers) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  const __m256 limit = _mm256_set1_ps(threshold);
  __m256i largest = _mm256_setzero_si256();
  for (long i = 0; i < count; i += 8) {
    __m256i bits = _mm256_castps_si256(rounded_to_half(load(count - i, x + i)));
    bits = _mm256_and_si256(bits, magnitude);
    if (threshold > 0) {
      const __m256 outside = _mm256_cmp_ps(_mm256_castsi256_ps(bits), limit, _CMP_GE_OQ);
      bits = _mm256_andnot_si256(_mm256_castps_si256(outside), bits);
      int mask = _mm256_movemask_ps(outside);
      for (; mask; mask &= mask - 1) outliers[i + __builtin_ctz(mask)] = 1;
    }
    largest = _mm256_max_epu32(largest, bits);
  }
  __m128i four = _mm_max_epu32(_mm256_castsi256_si128(largest),
                               _mm256_extracti128_si256(largest, 1));
  four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xB1));
  return _mm_cvtss_f32(_mm_castsi128_ps(four));
}

/* Eight codes in the low bytes of two registers' dwords. */
QLORA_INLINE __m256i codes_of(__m256 values, __m256 factor) {
  const __m256 limit = _mm256_set1_ps(QLORA_INT8_LARGEST);
  __m256 scaled = _mm256_mul_ps(rounded_to_half(values), factor);
  scaled = _mm256_and_ps(scaled, _mm256_cmp_ps(scaled, scaled, _CMP_ORD_Q));
  scaled = _mm256_min_ps(_mm256_max_ps(scaled, _mm256_sub_ps(_mm256_setzero_ps(), limit)), limit);
  return _mm256_add_epi32(_mm256_cvtps_epi32(scaled), _mm256_set1_epi32(QLORA_INT8_BIAS));
}

void qlora_int8_encode_avx2(long count, const float *x, float factor, const uint8_t *outliers,
                            uint8_t *codes) {
  const __m256 factors = _mm256_set1_ps(factor);
  for (long i = 0; i < count; i += 8) {
    const __m256i wide = codes_of(load(count - i, x + i), factors);
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    __m128i bytes = _mm_packus_epi16(words, words);
    if (count - i >= 8) {
      if (outliers) {
        const __m128i flags = _mm_loadl_epi64((const void *)(outliers + i));
        const __m128i kept = _mm_cmpeq_epi8(flags, _mm_setzero_si128());
        bytes = _mm_blendv_epi8(_mm_set1_epi8((char)QLORA_INT8_BIAS), bytes, kept);
      }
      _mm_storel_epi64((void *)(codes + i), bytes);
      continue;
    }
    uint8_t rest[16];
    _mm_storeu_si128((void *)rest, bytes);
    for (long j = 0; i + j < count; j++) {
      codes[i + j] = outliers && outliers[i + j] ? QLORA_INT8_BIAS : rest[j];
    }
  }
}

/* `units` tokens, at most 3, times 16 rows. */
QLORA_INLINE void product(const int units, long fours, const uint8_t *codes, long stride,
                          const int8_t *band, int32_t *sums) {
  const __m256i ones = _mm256_set1_epi16(1), bias = _mm256_set1_epi8((char)QLORA_INT8_BIAS);
  __m256i totals[3][2];
#pragma clang loop unroll(full)
  for (int t = 0; t < units; t++) totals[t][0] = totals[t][1] = _mm256_setzero_si256();
  for (long four = 0; four < fours; four++, band += 4 * QLORA_INT8_ROWS) {
    const __m256i low = _mm256_loadu_si256((const void *)band);
    const __m256i high = _mm256_loadu_si256((const void *)(band + 32));
    const __m256i low_size = _mm256_abs_epi8(low), high_size = _mm256_abs_epi8(high);
#pragma clang loop unroll(full)
    for (int t = 0; t < units; t++) {
      int32_t code;
      __builtin_memcpy(&code, codes + t * stride + 4 * four, 4);
      const __m256i values = _mm256_xor_si256(_mm256_set1_epi32(code), bias);
      const __m256i first = _mm256_maddubs_epi16(low_size, _mm256_sign_epi8(values, low));
      const __m256i second = _mm256_maddubs_epi16(high_size, _mm256_sign_epi8(values, high));
      totals[t][0] = _mm256_add_epi32(totals[t][0], _mm256_madd_epi16(first, ones));
      totals[t][1] = _mm256_add_epi32(totals[t][1], _mm256_madd_epi16(second, ones));
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < units; t++) {
    _mm256_storeu_si256((void *)(sums + t * QLORA_INT8_ROWS), totals[t][0]);
    _mm256_storeu_si256((void *)(sums + t * QLORA_INT8_ROWS + 8), totals[t][1]);
  }
}

void qlora_int8_product_avx2(long tokens, long fours, const uint8_t *codes, long stride,
                             const int8_t *band, const int32_t *corrections, int32_t *sums) {
  (void)corrections;
  for (long t = 0; t < tokens; t += 3) {
    const uint8_t *place = codes + t * stride;
    for (long half = 0; half < 2; half++) {
      const int8_t *rows = band + 64 * half;
      int32_t *out = sums + t * QLORA_INT8_ROWS + 16 * half;
      if (tokens - t >= 3) product(3, fours, place, stride, rows, out);
      else if (tokens - t == 2) product(2, fours, place, stride, rows, out);
      else product(1, fours, place, stride, rows, out);
    }
  }
}

void qlora_int8_scale_avx2(long tokens, const int32_t *sums, const float *token_scales,
                           const float *row_scales, float unit, const float *bias, float *out) {
  const __m256 units = _mm256_set1_ps(unit);
  for (long t = 0; t < tokens; t++) {
    const __m256 token = _mm256_set1_ps(token_scales[t]);
    for (long row = 0; row < QLORA_INT8_ROWS; row += 8) {
      const long place = t * QLORA_INT8_ROWS + row;
      const __m256 scale = _mm256_mul_ps(token, _mm256_loadu_ps(row_scales + row));
      __m256 value = _mm256_cvtepi32_ps(_mm256_loadu_si256((const void *)(sums + place)));
      value = _mm256_mul_ps(_mm256_mul_ps(value, scale), units);
      _mm256_storeu_ps(out + place, _mm256_add_ps(value, _mm256_loadu_ps(bias + row)));
    }
  }
}

void qlora_int8_decode_avx2(long fours, const int8_t *rows, const float *scales, float unit,
                            float *out) {
  /* From `[8 rows][4]` to `[4][8 rows]`: first within fours of rows, then across. */
  const __m256i columns = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
                                           0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m256i across = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256 factors = _mm256_loadu_ps(scales), units = _mm256_set1_ps(unit);
  for (long four = 0; four < fours; four++, rows += 4 * QLORA_INT8_ROWS, out += 32) {
    __m256i bytes = _mm256_loadu_si256((const void *)rows);
    bytes = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(bytes, columns), across);
    const __m128i first = _mm256_castsi256_si128(bytes);
    const __m128i second = _mm256_extracti128_si256(bytes, 1);
    const __m128i eights[4] = {first, _mm_srli_si128(first, 8), second, _mm_srli_si128(second, 8)};
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      const __m256 value = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eights[i]));
      _mm256_storeu_ps(out + 8 * i, _mm256_mul_ps(_mm256_mul_ps(value, factors), units));
    }
  }
}

#include "end.h"
#endif
