// The micro-kernel of products and attention in AVX-512: 8 rows × 48 lanes in 24 registers, 24
// fused multiply-adds for 3 loads and 8 broadcasts; fewer lanes where a mask or a tail spares them.
// Source: Van Zee & van de Geijn 2015, "BLIS".
#pragma once
#include <immintrin.h>

typedef struct { __m512 v[8][3]; } tile_sums;

INLINE void tile_load(tile_sums *sums, const float *c, long ldc, const int units,
                      int accumulate) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < units; i++) {
      sums->v[row][i] = accumulate ? _mm512_loadu_ps(c + row * ldc + 16 * i) : _mm512_setzero_ps();
    }
  }
}

INLINE void tile_store(const tile_sums *sums, float *c, long ldc, const int units) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < units; i++) _mm512_storeu_ps(c + row * ldc + 16 * i, sums->v[row][i]);
  }
}

/// One step: 8 factors, `apart` floats apart, times one row of lanes.
INLINE void tile_step(tile_sums *sums, const float *w, const int apart, const float *x,
                      const int units) {
  __m512 lanes[3];
#pragma clang loop unroll(full)
  for (int i = 0; i < units; i++) lanes[i] = _mm512_loadu_ps(x + 16 * i);
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
    const __m512 factor = _mm512_set1_ps(w[row * apart]);
#pragma clang loop unroll(full)
    for (int i = 0; i < units; i++) {
      sums->v[row][i] = _mm512_fmadd_ps(factor, lanes[i], sums->v[row][i]);
    }
  }
}

INLINE void tile_units(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                       long ldc, const int units, int accumulate) {
  tile_sums sums;
  tile_load(&sums, c, ldc, units, accumulate);
  for (long k = 0; k < count; k++, w += ldw, x += ldx) tile_step(&sums, w, 1, x, units);
  tile_store(&sums, c, ldc, units);
}

/// c `[8][16·units]` (+)= Σ over k < count of w[k·ldw + row] · x[k·ldx + lane]; 1 ... 3 units.
static void tile(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                 long ldc, long units, int accumulate) {
  if (units == 3) tile_units(count, w, ldw, x, ldx, c, ldc, 3, accumulate);
  else if (units == 2) tile_units(count, w, ldw, x, ldx, c, ldc, 2, accumulate);
  else tile_units(count, w, ldw, x, ldx, c, ldc, 1, accumulate);
}
