/* Rows of tokens to tiles and back by 8 x 8 transposes in registers. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"

/* Lanes 0 ..< count set. */
QLORA_INLINE __m256i first(long count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(count > 8 ? 8 : count)), lanes);
}

QLORA_INLINE void transpose(__m256 r[8]) {
  __m256 t[8];
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) r[i] = t[i];
}

QLORA_INLINE __m256 widen(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/* Nearest, ties to even; NaN keeps its upper bits, made quiet. */
QLORA_INLINE __m128i narrow(__m256 value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum =
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(sum, quiet, nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
}

/* `columns` (1 ... 8) of a row; the rest are zero and never read. */
QLORA_INLINE __m256 row_of(const void *x, long at, long columns, const int bf16) {
  if (!bf16) {
    const float *place = (const float *)x + at;
    return columns >= 8 ? _mm256_loadu_ps(place) : _mm256_maskload_ps(place, first(columns));
  }
  const uint16_t *place = (const uint16_t *)x + at;
  if (columns >= 8) return widen(_mm_loadu_si128((const __m128i *)place));
  uint16_t part[8] = {0};
  for (long i = 0; i < columns; i++) part[i] = place[i];
  return widen(_mm_loadu_si128((const __m128i *)part));
}

QLORA_INLINE void pack(long tokens, long k, const void *x, long stride, float *out,
                       const int bf16) {
  for (long t = 0; t < 48; t += 8) {
    for (long i = 0; i < k; i += 8) {
      __m256 rows[8];
#pragma clang loop unroll(full)
      for (int j = 0; j < 8; j++) {
        rows[j] = t + j < tokens ? row_of(x, (t + j) * stride + i, k - i, bf16)
                                 : _mm256_setzero_ps();
      }
      transpose(rows);
#pragma clang loop unroll(full)
      for (int j = 0; j < 8; j++) {
        if (i + j < k) _mm256_storeu_ps(out + (i + j) * 48 + t, rows[j]);
      }
    }
  }
}

void qlora_pack_f32_avx2(long tokens, long k, const float *x, long stride, float *out) {
  pack(tokens, k, x, stride, out, 0);
}

void qlora_pack_bf16_avx2(long tokens, long k, const uint16_t *x, long stride, float *out) {
  pack(tokens, k, x, stride, out, 1);
}

QLORA_INLINE void unpack(long tokens, long rows, const float *c, const float *bias, void *out,
                         long stride, int accumulate, const int bf16) {
  /* Along each token's row as far as it goes: the other order leaves half a line here and there of
   * every page. */
  for (long t = 0; t < tokens; t += 8) {
    for (long row = 0; row < rows; row += 8) {
      const long count = rows - row < 8 ? rows - row : 8;
      const __m256i mask = first(count);
      const __m256 shift = bias ? _mm256_maskload_ps(bias + row, mask) : _mm256_set1_ps(-0.0f);
      __m256 v[8];
#pragma clang loop unroll(full)
      for (int j = 0; j < 8; j++) {
        v[j] = j < count ? _mm256_loadu_ps(c + (row + j) * 48 + t) : _mm256_setzero_ps();
      }
      transpose(v);
      for (int j = 0; j < 8 && t + j < tokens; j++) {
        const long at = (t + j) * stride + row;
        __m256 value = _mm256_add_ps(v[j], shift);
        if (bf16) {
          uint16_t bits[8];
          _mm_storeu_si128((__m128i *)bits, narrow(value));
          __builtin_memcpy((uint16_t *)out + at, bits, (size_t)count * 2);
        } else {
          float *place = (float *)out + at;
          if (accumulate) value = _mm256_add_ps(value, _mm256_maskload_ps(place, mask));
          _mm256_maskstore_ps(place, mask, value);
        }
      }
    }
  }
}

void qlora_unpack_f32_avx2(long tokens, long rows, const float *c, const float *bias, float *out,
                           long stride, int accumulate) {
  unpack(tokens, rows, c, bias, out, stride, accumulate, 0);
}

void qlora_unpack_bf16_avx2(long tokens, long rows, const float *c, const float *bias,
                            uint16_t *out, long stride) {
  unpack(tokens, rows, c, bias, out, stride, 0, 1);
}

#include "end.h"
#endif
