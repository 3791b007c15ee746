// The micro-kernel of attention in AVX-512: 8 rows × 48 lanes in 24 registers, 24 fused
// multiply-adds for 3 loads and 8 broadcasts; fewer lanes where a mask or a tail spares them.
#pragma once
#include <immintrin.h>

INLINE void tile_units(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                       long ldc, const int units, int accumulate) {
  __m512 sum[8][3];
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < units; v++) {
      sum[row][v] = accumulate ? _mm512_loadu_ps(c + row * ldc + 16 * v) : _mm512_setzero_ps();
    }
  }
  for (long k = 0; k < count; k++, w += ldw, x += ldx) {
    __m512 lanes[3];
#pragma clang loop unroll(full)
    for (int v = 0; v < units; v++) lanes[v] = _mm512_loadu_ps(x + 16 * v);
#pragma clang loop unroll(full)
    for (int row = 0; row < 8; row++) {
      const __m512 factor = _mm512_set1_ps(w[row]);
#pragma clang loop unroll(full)
      for (int v = 0; v < units; v++) {
        sum[row][v] = _mm512_fmadd_ps(factor, lanes[v], sum[row][v]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < units; v++) _mm512_storeu_ps(c + row * ldc + 16 * v, sum[row][v]);
  }
}

/// c `[8][16·units]` (+)= Σ over k < count of w[k·ldw + row] · x[k·ldx + lane]; 1 ... 3 units.
static void tile(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                 long ldc, long units, int accumulate) {
  if (units == 3) tile_units(count, w, ldw, x, ldx, c, ldc, 3, accumulate);
  else if (units == 2) tile_units(count, w, ldw, x, ldx, c, ldc, 2, accumulate);
  else tile_units(count, w, ldw, x, ldx, c, ldc, 1, accumulate);
}
