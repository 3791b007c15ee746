// The micro-kernel of products and attention in NEON: parts of 8 rows × 8 lanes in 16 of the 32
// registers; a factor is a lane of the register that holds four of them.
#pragma once
#include <arm_neon.h>

typedef struct { float32x4_t v[8][2]; } tile_sums;

INLINE void tile_load(tile_sums *sums, const float *c, long ldc, int accumulate) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
    for (int i = 0; i < 2; i++) {
      sums->v[row][i] = accumulate ? vld1q_f32(c + row * ldc + 4 * i) : vdupq_n_f32(0);
    }
  }
}

INLINE void tile_store(const tile_sums *sums, float *c, long ldc) {
#pragma clang loop unroll(full)
  for (int row = 0; row < 8; row++) {
    for (int i = 0; i < 2; i++) vst1q_f32(c + row * ldc + 4 * i, sums->v[row][i]);
  }
}

/// One step: eight factors times eight lanes.
INLINE void tile_step(tile_sums *sums, float32x4_t low, float32x4_t high, const float *x) {
  const float32x4_t a = vld1q_f32(x), b = vld1q_f32(x + 4);
#define ROW(row, factors, lane)                                                   \
  sums->v[row][0] = vfmaq_laneq_f32(sums->v[row][0], a, factors, lane);           \
  sums->v[row][1] = vfmaq_laneq_f32(sums->v[row][1], b, factors, lane)
  ROW(0, low, 0); ROW(1, low, 1); ROW(2, low, 2); ROW(3, low, 3);
  ROW(4, high, 0); ROW(5, high, 1); ROW(6, high, 2); ROW(7, high, 3);
#undef ROW
}

/// c `[8][16·units]` (+)= Σ over k < count of w[k·ldw + row] · x[k·ldx + lane]; 1 ... 3 units.
INLINE void tile(long count, const float *w, long ldw, const float *x, long ldx, float *c,
                 long ldc, long units, int accumulate) {
  for (long lane = 0; lane < 16 * units; lane += 8) {
    tile_sums sums;
    tile_load(&sums, c + lane, ldc, accumulate);
    for (long k = 0; k < count; k++) {
      tile_step(&sums, vld1q_f32(w + k * ldw), vld1q_f32(w + k * ldw + 4), x + k * ldx + lane);
    }
    tile_store(&sums, c + lane, ldc);
  }
}
