// The micro-kernel of products and attention in AVX2: 48 lanes as four parts of 4 rows × 24 lanes,
// each in 12 of the 16 registers; fewer lanes, where a mask or a tail spares them, in parts of
// 4 × 16. Source: Van Zee & van de Geijn 2015, "BLIS".
#pragma once
#include <immintrin.h>

/// One part: c `[4][8·vectors]`.
typedef struct { __m256 v[4][3]; } part_sums;

INLINE void part_load(part_sums *sums, const float *c, long ldc, const int vectors,
                      int accumulate) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < 3; v++) {
      // The barrier of a step names all three, used or not.
      sums->v[row][v] = accumulate && v < vectors ? _mm256_loadu_ps(c + row * ldc + 8 * v)
                                                  : _mm256_setzero_ps();
    }
  }
}

INLINE void part_store(const part_sums *sums, float *c, long ldc, const int vectors) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) _mm256_storeu_ps(c + row * ldc + 8 * v, sums->v[row][v]);
  }
}

/// One step: 4 factors, `apart` floats apart, times one row of lanes.
INLINE void part_step(part_sums *sums, const float *w, const int apart, const float *x,
                      const int vectors) {
  __m256 lanes[3];
#pragma clang loop unroll(full)
  for (int v = 0; v < vectors; v++) lanes[v] = _mm256_loadu_ps(x + 8 * v);
#pragma clang loop unroll(full)
  for (int row = 0; row < 4; row++) {
    const __m256 factor = _mm256_broadcast_ss(w + row * apart);
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      sums->v[row][v] = _mm256_fmadd_ps(factor, lanes[v], sums->v[row][v]);
    }
    // Emits nothing. Without it the compiler loads two factors at a time, runs out of registers
    // and spills a sum, at half the speed.
    __m256 *v = sums->v[row];
    __asm__ volatile("" : "+x"(v[0]), "+x"(v[1]), "+x"(v[2])::"memory");
  }
}

INLINE void tile_part(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                      long ldc, const int vectors, int accumulate) {
  part_sums sums;
  part_load(&sums, c, ldc, vectors, accumulate);
  for (long k = 0; k < count; k++, w += ldw, x += ldx) part_step(&sums, w, 1, x, vectors);
  part_store(&sums, c, ldc, vectors);
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
