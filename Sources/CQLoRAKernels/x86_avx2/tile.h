// The micro-kernel of attention in AVX2: 48 lanes as four parts of 4 rows × 24 lanes, each in 12 of
// the 16 registers; fewer lanes, where a mask or a tail spares them, in parts of 4 × 16.
#pragma once
#include <immintrin.h>

/// One part: c `[4][8·vectors]`.
INLINE void tile_part(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                      long ldc, const int vectors, int accumulate) {
  __m256 sum[4][3] = {0};  // the barrier below names all three, used or not
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      sum[row][v] = accumulate ? _mm256_loadu_ps(c + row * ldc + 8 * v) : _mm256_setzero_ps();
    }
  }
  for (long k = 0; k < count; k++, w += ldw, x += ldx) {
    __m256 lanes[3];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) lanes[v] = _mm256_loadu_ps(x + 8 * v);
#pragma clang loop unroll(full)
    for (int row = 0; row < 4; row++) {
      const __m256 factor = _mm256_broadcast_ss(w + row);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) {
        sum[row][v] = _mm256_fmadd_ps(factor, lanes[v], sum[row][v]);
      }
      // Emits nothing. Without it the compiler loads two factors at a time, runs out of registers
      // and spills a sum, at half the speed.
      __asm__ volatile("" : "+x"(sum[row][0]), "+x"(sum[row][1]), "+x"(sum[row][2])::"memory");
    }
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) _mm256_storeu_ps(c + row * ldc + 8 * v, sum[row][v]);
  }
}

/// c `[8][16·units]` (+)= Σ over k < count of w[k·ldw + row] · x[k·ldx + lane]; 1 ... 3 units.
static void tile(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                 long ldc, long units, int accumulate) {
  for (int row = 0; row < 8; row += 4) {
    float *to = c + row * ldc;
    if (units == 3) {
      tile_part(count, w + row, ldw, x, ldx, to, ldc, 3, accumulate);
      tile_part(count, w + row, ldw, x + 24, ldx, to + 24, ldc, 3, accumulate);
      continue;
    }
    for (long lane = 0; lane < 16 * units; lane += 16) {
      tile_part(count, w + row, ldw, x + lane, ldx, to + lane, ldc, 2, accumulate);
    }
  }
}
