// The micro-kernel of attention in AVX2: four quarters of 4 rows × 24 lanes, each in 12 of the 16
// registers.
#pragma once
#include <immintrin.h>

/// One quarter: c `[4][24]`.
INLINE void tile_quarter(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                         long ldc, int accumulate) {
  __m256 sum[4][3];
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < 3; v++) {
      sum[row][v] = accumulate ? _mm256_loadu_ps(c + row * ldc + 8 * v) : _mm256_setzero_ps();
    }
  }
  for (long k = 0; k < count; k++, w += ldw, x += ldx) {
    const __m256 x0 = _mm256_loadu_ps(x), x1 = _mm256_loadu_ps(x + 8);
    const __m256 x2 = _mm256_loadu_ps(x + 16);
#pragma clang loop unroll(full)
    for (int row = 0; row < 4; row++) {
      const __m256 factor = _mm256_broadcast_ss(w + row);
      sum[row][0] = _mm256_fmadd_ps(factor, x0, sum[row][0]);
      sum[row][1] = _mm256_fmadd_ps(factor, x1, sum[row][1]);
      sum[row][2] = _mm256_fmadd_ps(factor, x2, sum[row][2]);
      // Emits nothing. Without it the compiler loads two factors at a time, runs out of registers
      // and spills a sum, at half the speed.
      __asm__ volatile("" : "+x"(sum[row][0]), "+x"(sum[row][1]), "+x"(sum[row][2])::"memory");
    }
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < 3; v++) _mm256_storeu_ps(c + row * ldc + 8 * v, sum[row][v]);
  }
}

/// c `[8][48]` (+)= Σ over k < count of w[k·ldw + row] · x[k·ldx + lane].
static void tile(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                 long ldc, int accumulate) {
  for (int lane = 0; lane < 48; lane += 24) {
    for (int row = 0; row < 8; row += 4) {
      tile_quarter(count, w + row, ldw, x + lane, ldx, c + row * ldc + lane, ldc, accumulate);
    }
  }
}
