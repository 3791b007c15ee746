/* Block scales and 4-bit codes: a branchless binary search in the 15 thresholds. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"
#include "fourbit.h"
#pragma STDC FP_CONTRACT OFF

float qlora_absmax_avx2(long count, const float *x) {
  /* As integers, which order magnitudes as floats do and put infinity and NaN above all. */
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i largest = _mm256_setzero_si256();
  long i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i bits = _mm256_loadu_si256((const __m256i *)(x + i));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(magnitude, bits));
  }
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(largest),
                               _mm256_extracti128_si256(largest, 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4E));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xB1));
  const float rest = qlora_absmax_reference(count - i, x + i);
  half = _mm_max_epi32(half, _mm_castps_si128(_mm_set1_ps(rest)));
  return _mm_cvtss_f32(_mm_castsi128_ps(half));
}

void qlora_encode_avx2(long count, const float *x, float factor, int divide,
                       const float *thresholds, uint8_t *codes) {
  float padded[16] = {0};
  __builtin_memcpy(padded, thresholds, 15 * sizeof(float));
  const table16 table = table_of(padded);
  const __m256 by = _mm256_set1_ps(factor);
  long i = 0;
  for (; i + 8 <= count; i += 8) {
    __m256 value = _mm256_loadu_ps(x + i);
    value = divide ? _mm256_div_ps(value, by) : _mm256_mul_ps(value, by);
    __m256i code = _mm256_setzero_si256();
#pragma clang loop unroll(full)
    for (int step = 8; step > 0; step /= 2) {
      const __m256i probe = _mm256_add_epi32(code, _mm256_set1_epi32(step - 1));
      const __m256 above = _mm256_cmp_ps(value, entries(table, probe, 0), _CMP_GT_OQ);
      code = _mm256_add_epi32(
          code, _mm256_and_si256(_mm256_castps_si256(above), _mm256_set1_epi32(step)));
    }
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    _mm_storel_epi64((__m128i *)(codes + i), _mm_packus_epi16(words, words));
  }
  qlora_encode_reference(count - i, x + i, factor, divide, thresholds, codes + i);
}

void qlora_insert_codes_avx2(long count, const uint8_t *codes, uint32_t *lines) {
  const __m128i low = _mm_set1_epi16(0xFF), one_and_sixteen = _mm_set1_epi32(0x00100001);
  for (long i = 0; i < count; i++) {
    const __m128i all = _mm_loadu_si128((const __m128i *)(codes + i * 16));
    /* Of the even columns and of the odd ones: pairs to bytes, then four bytes to a dword. */
    const __m128i even = _mm_madd_epi16(_mm_and_si128(all, low), one_and_sixteen);
    const __m128i odd = _mm_madd_epi16(_mm_srli_epi16(all, 8), one_and_sixteen);
    const __m128i words = _mm_packs_epi32(even, odd);
    const __m128i bytes = _mm_packus_epi16(words, words);
    lines[i * 16] |= (uint32_t)_mm_cvtsi128_si32(bytes);
    lines[i * 16 + 8] |= (uint32_t)_mm_extract_epi32(bytes, 1);
  }
}

#include "end.h"
#endif
