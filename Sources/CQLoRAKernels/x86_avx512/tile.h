// The micro-kernel of attention in AVX-512: 8 rows × 48 lanes in 24 registers, 24 fused
// multiply-adds for 3 loads and 8 broadcasts.
#pragma once
#include <immintrin.h>

/// c `[8][48]` (+)= Σ over k < count of w[k·ldw + row] · x[k·ldx + lane].
static void tile(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                 long ldc, int accumulate) {
  __m512 sum[8][3];
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < 3; v++) {
      sum[row][v] = accumulate ? _mm512_loadu_ps(c + row * ldc + 16 * v) : _mm512_setzero_ps();
    }
  }
  for (long k = 0; k < count; k++, w += ldw, x += ldx) {
    const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
    const __m512 x2 = _mm512_loadu_ps(x + 32);
#pragma clang loop unroll(full)
    for (int row = 0; row < 8; row++) {
      const __m512 factor = _mm512_set1_ps(w[row]);
      sum[row][0] = _mm512_fmadd_ps(factor, x0, sum[row][0]);
      sum[row][1] = _mm512_fmadd_ps(factor, x1, sum[row][1]);
      sum[row][2] = _mm512_fmadd_ps(factor, x2, sum[row][2]);
    }
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < 3; v++) _mm512_storeu_ps(c + row * ldc + 16 * v, sum[row][v]);
  }
}
