// Transposition of float matrices in blocks of 4 × 4.
#pragma once
#include <arm_neon.h>

INLINE void transpose_quad(float32x4_t r[4]) {
  const float32x4_t a = vtrn1q_f32(r[0], r[1]), b = vtrn2q_f32(r[0], r[1]);
  const float32x4_t c = vtrn1q_f32(r[2], r[3]), d = vtrn2q_f32(r[2], r[3]);
#define PAIR(half, x, y) \
  vreinterpretq_f32_f64(half(vreinterpretq_f64_f32(x), vreinterpretq_f64_f32(y)))
  r[0] = PAIR(vtrn1q_f64, a, c);
  r[1] = PAIR(vtrn1q_f64, b, d);
  r[2] = PAIR(vtrn2q_f64, a, c);
  r[3] = PAIR(vtrn2q_f64, b, d);
#undef PAIR
}

/// x `[rows][columns]` to out `[columns][rows]`; both extents are multiples of 4.
INLINE void transpose(long rows, long columns, const float *x, long ldx, float *out,
                      long ldout) {
  for (long row = 0; row < rows; row += 4) {
    for (long column = 0; column < columns; column += 4) {
      float32x4_t r[4];
      for (int i = 0; i < 4; i++) r[i] = vld1q_f32(x + (row + i) * ldx + column);
      transpose_quad(r);
      for (int i = 0; i < 4; i++) vst1q_f32(out + (column + i) * ldout + row, r[i]);
    }
  }
}
