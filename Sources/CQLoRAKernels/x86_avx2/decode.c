/* 4-bit lines by two 8-entry permutes and a blend per 8 codes; scales and bf16. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"
#include "fourbit.h"
#pragma STDC FP_CONTRACT OFF

void qlora_decode_lines_avx2(long lines, const uint8_t *codes, const float *table,
                             const float *scales, long first_line, long lines_per_block,
                             float *out) {
  const table16 values = table_of(table);
  long in_block = first_line % lines_per_block;
  scales += first_line / lines_per_block * 8;
  __m256 scale = _mm256_loadu_ps(scales);
  for (long i = 0; i < lines; i++, in_block++) {
    if (in_block == lines_per_block) {
      in_block = 0;
      scales += 8;
      scale = _mm256_loadu_ps(scales);
    }
    const __m256i even = _mm256_loadu_si256((const __m256i *)(codes + i * 64));
    const __m256i odd = _mm256_loadu_si256((const __m256i *)(codes + i * 64 + 32));
    float *place = out + i * 128;
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) {
      _mm256_storeu_ps(place + j * 16, _mm256_mul_ps(entries(values, even, j), scale));
      _mm256_storeu_ps(place + j * 16 + 8, _mm256_mul_ps(entries(values, odd, j), scale));
    }
  }
}

void qlora_widen_bf16_avx2(long count, const uint16_t *values, float *out) {
  long i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(values + i)));
    _mm256_storeu_ps(out + i, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)));
  }
  for (; i < count; i++) out[i] = qlora_bf16_to_f32(values[i]);
}

void qlora_decode_scales_avx2(long count, long first, const uint8_t *codes, const float *map,
                              const float *absmax, float offset, float *out) {
  const __m256 shift = _mm256_set1_ps(offset);
  for (long i = 0; i < count;) {
    /* Up to the end of this nested block, 8 at a time. */
    long end = i + 256 - (first + i) % 256;
    if (end > count) end = count;
    const float scale = absmax[(first + i) / 256];
    for (; i + 8 <= end; i += 8) {
      const __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(codes + i)));
      const __m256 value = _mm256_mul_ps(_mm256_i32gather_ps(map, code, 4), _mm256_set1_ps(scale));
      _mm256_storeu_ps(out + i, _mm256_add_ps(value, shift));
    }
    for (; i < end; i++) {
      const float product = map[codes[i]] * scale;
      out[i] = product + offset;
    }
  }
}

#include "end.h"
#endif
