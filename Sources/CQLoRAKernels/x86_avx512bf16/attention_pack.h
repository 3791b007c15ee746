/* Rows of bf16 and fp32 to the factors of attention's products on the matrix unit. */
#pragma once
#include "../matrix_slots.h"

#include "../x86_avx512/transpose.h"

enum {
  /* Keys and queries that meet at a time: their scores of one strip are 32 KiB of fp32. */
  KEY_BLOCK = 256,
  QUERY_BLOCK = 128,
};

QLORA_INLINE long round_up(long count, long to) { return (count + to - 1) / to * to; }

/* Up to 16 rows of x `[rows][stride]` bf16 as columns, the reduction along k: a half. */
QLORA_INLINE void half_of_bf16_rows(long rows, long k, const uint16_t *x, long stride,
                                    uint16_t *out) {
  for (long i = 0; i < k; i += QLORA_STEP) {
    const __mmask32 mask = first32(k - i);
    __m512 r[16];
#pragma clang loop unroll(full)
    for (int row = 0; row < 16; row++) {
      const uint16_t *from = x + (row < rows ? row : 0) * stride + i;
      r[row] = _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(row < rows ? mask : 0, from));
    }
    transpose16(r);
#pragma clang loop unroll(full)
    for (int pair = 0; pair < 16; pair++) {
      _mm512_storeu_ps(out + i * QLORA_STRIP_ROWS + pair * 32, r[pair]);
    }
  }
}

/* x `[rows][stride]` bf16 as blocks of columns, the reduction along k; rows past the last are
 * zero. */
QLORA_INLINE void columns_of_rows(long rows, long k, const uint16_t *x, long stride,
                                  uint16_t *out) {
  const long block = qlora_steps(k) * QLORA_STEP_ELEMENTS;
  for (long half = 0; half < round_up(rows, 32) / 16; half++) {
    const long left = rows - 16 * half, count = left < 16 ? left : 16;
    half_of_bf16_rows(count < 0 ? 0 : count, k, x + (left > 0 ? 16 * half : 0) * stride, stride,
                      out + half / 2 * block + half % 2 * QLORA_HALF_ELEMENTS);
  }
}

/* x `[tokens][stride]` bf16 as blocks of columns 0 ..< size, the reduction along the tokens in
 * stretches of `stretch`, each of which is a factor of its own. */
QLORA_INLINE void columns_of_tokens(long tokens, long size, const uint16_t *x, long stride,
                                    long stretch, uint16_t *out) {
  for (long first = 0; first < tokens; first += stretch) {
    const long left = tokens - first, count = left < stretch ? left : stretch;
    const long block = qlora_steps(count) * QLORA_STEP_ELEMENTS;
    for (long half = 0; half < round_up(size, 32) / 16; half++) {
      const long width = size - 16 * half;
      qlora_half_of_tokens_bf16_avx512bf16(
          count, width < 0 ? 0 : width < 16 ? width : 16,
          x + first * stride + (width > 0 ? 16 * half : 0), stride,
          out + half / 2 * block + half % 2 * QLORA_HALF_ELEMENTS);
    }
    out += round_up(size, 32) / 32 * block;
  }
}

/* A strip's rows (queries) become columns of strips: strip d / 32 of `out`, `steps` steps long,
 * gets its step `step` from `x`, a strip `[size / 32][32 queries][32]`. */
QLORA_INLINE void transposed_strip(long size, const uint16_t *x, long steps, long step,
                                   uint16_t *out) {
  const __m512i order = _mm512_set_epi16(
      31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1,
      30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  for (long block = 0; block < qlora_steps(size); block++) {
    const uint16_t *from = x + block * QLORA_STEP_ELEMENTS;
    uint16_t *to = out + (block * steps + step) * QLORA_STEP_ELEMENTS;
    for (int half = 0; half < 2; half++) {
      /* Dword (query, pair of d) to (pair of d, query): even d are the lower words. */
      __m512 r[16];
#pragma clang loop unroll(full)
      for (int query = 0; query < 16; query++) {
        r[query] = _mm512_loadu_ps(from + (16 * half + query) * QLORA_STEP_ROW);
      }
      transpose16(r);
#pragma clang loop unroll(full)
      for (int pair = 0; pair < 16; pair++) {
        const __m512i words = _mm512_permutexvar_epi16(order, _mm512_castps_si512(r[pair]));
        uint16_t *row = to + 2 * pair * QLORA_STEP_ROW + 16 * half;
        _mm256_storeu_si256((void *)row, _mm512_castsi512_si256(words));
        _mm256_storeu_si256((void *)(row + QLORA_STEP_ROW), _mm512_extracti64x4_epi64(words, 1));
      }
    }
  }
}
