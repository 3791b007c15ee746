/* A few tokens times one group of 8 rows: lanes 2r and 2r + 1 are row r at an even and an odd
 * column, so that two neighbouring activations are one 64-bit broadcast, and weights go from the
 * stream to the FMA without a buffer. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"

/* Bytes of codes between a load and the request for them: the processor's own guesses, a page at a
 * time, leave half of the memory's bandwidth unused. */
enum { AHEAD = 4096 };

/* x[0] in the even lanes, x[1] in the odd ones. */
QLORA_INLINE __m512 pair(const float *x) {
  double bits;
  __builtin_memcpy(&bits, x, sizeof bits);
  return _mm512_castpd_ps(_mm512_set1_pd(bits));
}

/* From 8 rows of one column followed by 8 of the next to lanes 2r, 2r + 1. */
QLORA_INLINE __m512i interleaved(void) {
  return _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
}

/* The even columns' sums plus the odd ones'. */
QLORA_INLINE void store(const __m512 *sums, const int tokens, float *out) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 0, 0, 0, 0, 0, 0, 0, 0);
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    const __m512 sum = _mm512_add_ps(_mm512_permutexvar_ps(even, sums[t]),
                                     _mm512_permutexvar_ps(odd, sums[t]));
    _mm256_storeu_ps(out + t * 8, _mm512_castps512_ps256(sum));
  }
}

QLORA_INLINE void lines_of(const int tokens, long lines, const uint8_t *codes, const float *table,
                           const float *scales, long lines_per_block, const float *x, long stride,
                           float *out) {
  const __m512 values = _mm512_loadu_ps(table);
  const __m512i order = interleaved();
  const int chains = tokens <= 4 ? 4 : 2;
  __m512 sums[8];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) sums[t] = _mm512_setzero_ps();
  for (long line = 0; line < lines; scales += 8) {
    long end = line + lines_per_block < lines ? line + lines_per_block : lines;
    const __m512 scale =
        _mm512_permutexvar_ps(order, _mm512_broadcast_f32x8(_mm256_loadu_ps(scales)));
    /* Several chains per token hide the latency of the FMA when there are few of them. */
    __m512 parts[4][8];
#pragma clang loop unroll(full)
    for (int i = 0; i < chains; i++) {
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; t++) parts[i][t] = _mm512_setzero_ps();
    }
    for (; line < end; line++) {
      _mm_prefetch((const char *)codes + line * 64 + AHEAD, _MM_HINT_T0);
      const __m512i bits = _mm512_permutexvar_epi32(order, _mm512_loadu_si512(codes + line * 64));
      const float *columns = x + line * 16;
#pragma clang loop unroll(full)
      for (int j = 0; j < 8; j++) {
        const __m512 w = _mm512_permutexvar_ps(_mm512_srli_epi32(bits, 4 * j), values);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
          parts[j % chains][t] =
              _mm512_fmadd_ps(w, pair(columns + t * stride + 2 * j), parts[j % chains][t]);
        }
      }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      __m512 sum = _mm512_add_ps(parts[0][t], parts[1][t]);
      if (chains == 4) sum = _mm512_add_ps(sum, _mm512_add_ps(parts[2][t], parts[3][t]));
      sums[t] = _mm512_fmadd_ps(sum, scale, sums[t]);
    }
  }
  store(sums, tokens, out);
}

QLORA_INLINE __m512 weights(const void *w, long at, const int bf16) {
  if (!bf16) return _mm512_permutexvar_ps(interleaved(), _mm512_loadu_ps((const float *)w + at));
  __m256i bits = _mm256_loadu_si256((const __m256i *)((const uint16_t *)w + at));
  __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
  return _mm512_castsi512_ps(_mm512_permutexvar_epi32(interleaved(), wide));
}

QLORA_INLINE void dense(const int tokens, long k, const void *w, const float *x, long stride,
                        float *out, const int bf16) {
  __m512 even[8], odd[8];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) even[t] = odd[t] = _mm512_setzero_ps();
  long i = 0;
  for (; i + 4 <= k; i += 4) {
    const __m512 w0 = weights(w, i * 8, bf16), w1 = weights(w, i * 8 + 16, bf16);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      even[t] = _mm512_fmadd_ps(w0, pair(x + t * stride + i), even[t]);
      odd[t] = _mm512_fmadd_ps(w1, pair(x + t * stride + i + 2), odd[t]);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) even[t] = _mm512_add_ps(even[t], odd[t]);
  store(even, tokens, out);
  for (; i < k; i++) {
    __m256 row =
        bf16 ? _mm256_castsi256_ps(_mm256_slli_epi32(
                   _mm256_cvtepu16_epi32(
                       _mm_loadu_si128((const __m128i *)((const uint16_t *)w + i * 8))), 16))
             : _mm256_loadu_ps((const float *)w + i * 8);
    for (int t = 0; t < tokens; t++) {
      __m256 sum = _mm256_loadu_ps(out + t * 8);
      _mm256_storeu_ps(out + t * 8, _mm256_fmadd_ps(row, _mm256_set1_ps(x[t * stride + i]), sum));
    }
  }
}

/* One body per number of tokens, so that the sums live in registers. */
#define FOR_TOKENS(call)    \
  switch (tokens) {         \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    case 4: call(4); break; \
    case 5: call(5); break; \
    case 6: call(6); break; \
    case 7: call(7); break; \
    default: call(8);       \
  }

void qlora_few_lines_avx512(long tokens, long lines, const uint8_t *codes, const float *table,
                            const float *scales, long lines_per_block, const float *x, long stride,
                            float *out) {
#define CALL(n) lines_of(n, lines, codes, table, scales, lines_per_block, x, stride, out)
  FOR_TOKENS(CALL)
#undef CALL
}

void qlora_few_f32_avx512(long tokens, long k, const float *w, const float *x, long stride,
                          float *out) {
#define CALL(n) dense(n, k, w, x, stride, out, 0)
  FOR_TOKENS(CALL)
#undef CALL
}

void qlora_few_bf16_avx512(long tokens, long k, const uint16_t *w, const float *x, long stride,
                           float *out) {
#define CALL(n) dense(n, k, w, x, stride, out, 1)
  FOR_TOKENS(CALL)
#undef CALL
}

#include "end.h"
#endif
