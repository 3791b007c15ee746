/* 4-bit lines by one 16-entry permute per 16 codes; scales and bf16. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"
#pragma STDC FP_CONTRACT OFF

void qlora_decode_lines_avx512(long lines, const uint8_t *codes, const float *table,
                               const float *scales, long first_line, long lines_per_block,
                               float *out) {
  __m512 values = _mm512_loadu_ps(table);
  long in_block = first_line % lines_per_block;
  scales += first_line / lines_per_block * 8;
  __m512 scale = _mm512_broadcast_f32x8(_mm256_loadu_ps(scales));
  for (long i = 0; i < lines; i++, in_block++) {
    if (in_block == lines_per_block) {
      in_block = 0;
      scales += 8;
      scale = _mm512_broadcast_f32x8(_mm256_loadu_ps(scales));
    }
    __m512i line = _mm512_loadu_si512(codes + i * 64);
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) {
      /* The permute looks at the low 4 bits only, so the other nibbles need no mask. */
      __m512 w = _mm512_permutexvar_ps(_mm512_srli_epi32(line, 4 * j), values);
      _mm512_storeu_ps(out + i * 128 + j * 16, _mm512_mul_ps(w, scale));
    }
  }
}

void qlora_widen_bf16_avx512(long count, const uint16_t *values, float *out) {
  for (long i = 0; i < count; i += 16) {
    __mmask16 mask = count - i >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i)) - 1);
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, values + i));
    _mm512_mask_storeu_ps(out + i, mask, _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)));
  }
}

void qlora_decode_scales_avx512(long count, long first, const uint8_t *codes, const float *map,
                                const float *absmax, float offset, float *out) {
  const __m512 shift = _mm512_set1_ps(offset);
  for (long i = 0; i < count;) {
    /* Up to the end of this nested block, 16 at a time. */
    long end = i + 256 - (first + i) % 256;
    if (end > count) end = count;
    const __m512 scale = _mm512_set1_ps(absmax[(first + i) / 256]);
    for (; i < end; i += 16) {
      __mmask16 mask = end - i >= 16 ? 0xFFFF : (__mmask16)((1u << (end - i)) - 1);
      __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, codes + i));
      __m512 value = _mm512_mul_ps(_mm512_i32gather_ps(code, map, 4), scale);
      _mm512_mask_storeu_ps(out + i, mask, _mm512_add_ps(value, shift));
    }
    i = end;
  }
}

#include "end.h"
#endif
