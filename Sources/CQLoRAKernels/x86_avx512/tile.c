/* 8 weights x 48 tokens: 24 accumulators stay in registers, each weight is broadcast once and each
 * activation vector loaded once per step. The x subtile should lie in L1 (128 steps x 192 bytes);
 * w streams from L2 at 32 bytes per 24 FMAs. Source: Van Zee & van de Geijn 2015, "BLIS". */
#include "../product_slots.h"

#include "begin.h"

typedef struct { __m512 v[8][3]; } block;

QLORA_INLINE void load(block *a, const float *c, const int vectors, int accumulate) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) {
      a->v[row][i] = accumulate ? _mm512_loadu_ps(c + row * 48 + i * 16) : _mm512_setzero_ps();
    }
  }
}

QLORA_INLINE void store(const block *a, float *c, const int vectors) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) _mm512_storeu_ps(c + row * 48 + i * 16, a->v[row][i]);
  }
}

/* One step: 8 weights, `stride` floats apart, times one row of the tile. */
QLORA_INLINE void step(block *a, const float *w, const int stride, const float *x,
                       const int vectors) {
  __m512 tokens[3];
#pragma clang loop unroll(full)
  for (int i = 0; i < vectors; i++) tokens[i] = _mm512_loadu_ps(x + i * 16);
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
    __m512 weight = _mm512_set1_ps(w[row * stride]);
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) {
      a->v[row][i] = _mm512_fmadd_ps(weight, tokens[i], a->v[row][i]);
    }
  }
}

QLORA_INLINE void tile(long k, const float *w, const float *x, float *c, const int vectors,
                       int accumulate) {
  block a;
  load(&a, c, vectors, accumulate);
  for (long i = 0; i < k; i++) step(&a, w + i * 8, 1, x + i * 48, vectors);
  store(&a, c, vectors);
}

QLORA_INLINE void transposed(long groups, const float *w, long group_stride, const float *x,
                             float *c, const int vectors, int accumulate) {
  block a;
  load(&a, c, vectors, accumulate);
  for (long group = 0; group < groups; group++) {
    const float *weights = w + group * group_stride, *tokens = x + group * 8 * 48;
    for (long row = 0; row < 8; row++) step(&a, weights + row, 8, tokens + row * 48, vectors);
  }
  store(&a, c, vectors);
}

void qlora_tile_avx512(long k, const float *w, const float *x, float *c, long vectors,
                       int accumulate) {
  if (vectors == 3) tile(k, w, x, c, 3, accumulate);
  else if (vectors == 2) tile(k, w, x, c, 2, accumulate);
  else tile(k, w, x, c, 1, accumulate);
}

void qlora_tile_transposed_avx512(long groups, const float *w, long group_stride, const float *x,
                                  float *c, long vectors, int accumulate) {
  if (vectors == 3) transposed(groups, w, group_stride, x, c, 3, accumulate);
  else if (vectors == 2) transposed(groups, w, group_stride, x, c, 2, accumulate);
  else transposed(groups, w, group_stride, x, c, 1, accumulate);
}

#include "end.h"
