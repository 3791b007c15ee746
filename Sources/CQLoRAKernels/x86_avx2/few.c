/* A few tokens times one group of 8 rows, straight from the stream of weights: 8 lanes are the
 * rows, and even and odd columns have a chain of sums each. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"
#include "fourbit.h"

/* Bytes of codes between a load and the request for them. */
enum { AHEAD = 4096 };

QLORA_INLINE void lines_of(const int tokens, long lines, const uint8_t *codes, const float *table,
                           const float *scales, long lines_per_block, const float *x, long stride,
                           float *out) {
  const table16 values = table_of(table);
  __m256 sums[4];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) sums[t] = _mm256_setzero_ps();
  for (long line = 0; line < lines; scales += 8) {
    const long end = line + lines_per_block < lines ? line + lines_per_block : lines;
    __m256 even[4], odd[4];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) even[t] = odd[t] = _mm256_setzero_ps();
    for (; line < end; line++) {
      _mm_prefetch((const char *)codes + line * 64 + AHEAD, _MM_HINT_T0);
      const __m256i bits0 = _mm256_loadu_si256((const __m256i *)(codes + line * 64));
      const __m256i bits1 = _mm256_loadu_si256((const __m256i *)(codes + line * 64 + 32));
      const float *columns = x + line * 16;
#pragma clang loop unroll(full)
      for (int j = 0; j < 8; j++) {
        const __m256 w0 = entries(values, bits0, j), w1 = entries(values, bits1, j);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
          const float *at = columns + t * stride + 2 * j;
          even[t] = _mm256_fmadd_ps(w0, _mm256_broadcast_ss(at), even[t]);
          odd[t] = _mm256_fmadd_ps(w1, _mm256_broadcast_ss(at + 1), odd[t]);
        }
      }
    }
    const __m256 scale = _mm256_loadu_ps(scales);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      sums[t] = _mm256_fmadd_ps(_mm256_add_ps(even[t], odd[t]), scale, sums[t]);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) _mm256_storeu_ps(out + t * 8, sums[t]);
}

QLORA_INLINE __m256 weights(const void *w, long at, const int bf16) {
  if (!bf16) return _mm256_loadu_ps((const float *)w + at);
  const __m128i bits = _mm_loadu_si128((const __m128i *)((const uint16_t *)w + at));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

QLORA_INLINE void dense(const int tokens, long k, const void *w, const float *x, long stride,
                        float *out, const int bf16) {
  __m256 even[4], odd[4];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) even[t] = odd[t] = _mm256_setzero_ps();
  for (long i = 0; i < k; i += 2) {
    const __m256 w0 = weights(w, i * 8, bf16);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      even[t] = _mm256_fmadd_ps(w0, _mm256_broadcast_ss(x + t * stride + i), even[t]);
    }
    if (i + 1 == k) break;
    const __m256 w1 = weights(w, i * 8 + 8, bf16);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      odd[t] = _mm256_fmadd_ps(w1, _mm256_broadcast_ss(x + t * stride + i + 1), odd[t]);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) _mm256_storeu_ps(out + t * 8, _mm256_add_ps(even[t], odd[t]));
}

/* One body per number of tokens, so that the sums live in registers; more than four in two goes. */
#define FOR_TOKENS(call)                                                    \
  for (; tokens > 0; tokens -= 4, x += 4 * stride, out += 4 * 8) {          \
    switch (tokens) {                                                       \
      case 1: call(1); break;                                               \
      case 2: call(2); break;                                               \
      case 3: call(3); break;                                               \
      default: call(4);                                                     \
    }                                                                       \
  }

void qlora_few_lines_avx2(long tokens, long lines, const uint8_t *codes, const float *table,
                          const float *scales, long lines_per_block, const float *x, long stride,
                          float *out) {
#define CALL(n) lines_of(n, lines, codes, table, scales, lines_per_block, x, stride, out)
  FOR_TOKENS(CALL)
#undef CALL
}

void qlora_few_f32_avx2(long tokens, long k, const float *w, const float *x, long stride,
                        float *out) {
#define CALL(n) dense(n, k, w, x, stride, out, 0)
  FOR_TOKENS(CALL)
#undef CALL
}

void qlora_few_bf16_avx2(long tokens, long k, const uint16_t *w, const float *x, long stride,
                         float *out) {
#define CALL(n) dense(n, k, w, x, stride, out, 1)
  FOR_TOKENS(CALL)
#undef CALL
}

#include "end.h"
#endif
