/* Rows of tokens to tiles and back by 16 x 16 transposes in registers. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"
#include "transpose.h"

QLORA_INLINE __mmask16 first(long count) {
  return count >= 16 ? 0xFFFF : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

QLORA_INLINE __m512 widen(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/* Nearest, ties to even; NaN keeps its upper bits, made quiet. */
QLORA_INLINE __m256i narrow(__m512 value) {
  __m512i bits = _mm512_castps_si512(value);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

QLORA_INLINE void pack(long tokens, long k, const void *x, long stride, float *out,
                       const int bf16) {
  for (long t = 0; t < 48; t += 16) {
    for (long i = 0; i < k; i += 16) {
      __m512 rows[16];
      __mmask16 columns = first(k - i);
#pragma clang loop unroll(full)
      for (int j = 0; j < 16; j++) {
        /* A row past the last token reads nothing: its mask is empty. */
        __mmask16 mask = t + j < tokens ? columns : 0;
        long at = mask ? (t + j) * stride + i : 0;
        rows[j] = bf16 ? widen(_mm256_maskz_loadu_epi16(mask, (const uint16_t *)x + at))
                       : _mm512_maskz_loadu_ps(mask, (const float *)x + at);
      }
      transpose16(rows);
      if (columns == 0xFFFF) {
#pragma clang loop unroll(full)
        for (int j = 0; j < 16; j++) _mm512_storeu_ps(out + (i + j) * 48 + t, rows[j]);
      } else {
#pragma clang loop unroll(full)
        for (int j = 0; j < 16; j++) {
          if (i + j < k) _mm512_storeu_ps(out + (i + j) * 48 + t, rows[j]);
        }
      }
    }
  }
}

void qlora_pack_f32_avx512(long tokens, long k, const float *x, long stride, float *out) {
  pack(tokens, k, x, stride, out, 0);
}

void qlora_pack_bf16_avx512(long tokens, long k, const uint16_t *x, long stride, float *out) {
  pack(tokens, k, x, stride, out, 1);
}

QLORA_INLINE void unpack(long tokens, long rows, const float *c, const float *bias, void *out,
                         long stride, int accumulate, const int bf16) {
  for (long row = 0; row < rows; row += 16) {
    __mmask16 mask = first(rows - row);
    __m512 shift = bias ? _mm512_maskz_loadu_ps(mask, bias + row) : _mm512_set1_ps(-0.0f);
    for (long t = 0; t < tokens; t += 16) {
      __m512 v[16];
#pragma clang loop unroll(full)
      for (int j = 0; j < 16; j++) {
        v[j] = row + j < rows ? _mm512_loadu_ps(c + (row + j) * 48 + t) : _mm512_setzero_ps();
      }
      transpose16(v);
#pragma clang loop unroll(full)
      for (int j = 0; j < 16; j++) {
        if (t + j < tokens) {
          __m512 value = _mm512_add_ps(v[j], shift);
          long at = (t + j) * stride + row;
          if (bf16) {
            _mm256_mask_storeu_epi16((uint16_t *)out + at, mask, narrow(value));
          } else {
            float *place = (float *)out + at;
            if (accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, place));
            _mm512_mask_storeu_ps(place, mask, value);
          }
        }
      }
    }
  }
}

void qlora_unpack_f32_avx512(long tokens, long rows, const float *c, const float *bias, float *out,
                             long stride, int accumulate) {
  unpack(tokens, rows, c, bias, out, stride, accumulate, 0);
}

void qlora_unpack_bf16_avx512(long tokens, long rows, const float *c, const float *bias,
                              uint16_t *out, long stride) {
  unpack(tokens, rows, c, bias, out, stride, 0, 1);
}

#include "end.h"
#endif
