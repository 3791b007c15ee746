/* 8 weights x 48 tokens in blocks of 4 weights x 24 tokens: 12 accumulators, 3 activation vectors
 * and one broadcast weight fill the 16 registers. Source: Van Zee & van de Geijn 2015, "BLIS". */
#include "../product_slots.h"

#include "begin.h"

/* `w` weights are `stride` floats apart; `next` apart from one step to the next inside a group of
 * `inner` steps, and groups `group_stride` apart. */
QLORA_INLINE void block(long groups, long group_stride, long inner, long next, const int stride,
                        const float *w, const float *x, float *c, const int vectors,
                        int accumulate) {
  __m256 sums[4][3];
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) {
      sums[row][i] = accumulate ? _mm256_loadu_ps(c + row * 48 + i * 8) : _mm256_setzero_ps();
    }
  }
  for (long group = 0; group < groups; group++, w += group_stride) {
    const float *weights = w;
    for (long step = 0; step < inner; step++, weights += next, x += 48) {
      __m256 tokens[3];
#pragma clang loop unroll(full)
      for (int i = 0; i < vectors; i++) tokens[i] = _mm256_loadu_ps(x + i * 8);
#pragma clang loop unroll(full)
      for (int row = 0; row < 4; row++) {
        const __m256 weight = _mm256_broadcast_ss(weights + row * stride);
#pragma clang loop unroll(full)
        for (int i = 0; i < vectors; i++) {
          sums[row][i] = _mm256_fmadd_ps(weight, tokens[i], sums[row][i]);
        }
      }
    }
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) _mm256_storeu_ps(c + row * 48 + i * 8, sums[row][i]);
  }
}

/* 48 tokens are two blocks of 24, 32 are two of 16, 16 are one of 16. */
QLORA_INLINE void blocks(long groups, long group_stride, long inner, long next, const int stride,
                         const float *w, const float *x, float *c, long vectors, int accumulate) {
  for (int row = 0; row < 8; row += 4) {
    const float *weights = w + row * stride;
    float *sums = c + row * 48;
    if (vectors == 3) {
      block(groups, group_stride, inner, next, stride, weights, x, sums, 3, accumulate);
      block(groups, group_stride, inner, next, stride, weights, x + 24, sums + 24, 3, accumulate);
    } else {
      for (long i = 0; i < vectors; i++) {
        block(groups, group_stride, inner, next, stride, weights, x + i * 16, sums + i * 16, 2,
              accumulate);
      }
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
