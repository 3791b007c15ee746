/* The products of one panel with one tile, in scalar C: the oracle. */
#include "../product_slots.h"

void qlora_tile_reference(long k, const float *w, const float *x, float *c, long vectors,
                          int accumulate) {
  for (long row = 0; row < 8; row++) {
    for (long lane = 0; lane < 16 * vectors; lane++) {
      float sum = accumulate ? c[row * 48 + lane] : 0;
      for (long i = 0; i < k; i++) sum += w[i * 8 + row] * x[i * 48 + lane];
      c[row * 48 + lane] = sum;
    }
  }
}

void qlora_tile_transposed_reference(long groups, const float *w, long group_stride,
                                     const float *x, float *c, long vectors, int accumulate) {
  for (long column = 0; column < 8; column++) {
    for (long lane = 0; lane < 16 * vectors; lane++) {
      float sum = accumulate ? c[column * 48 + lane] : 0;
      for (long row = 0; row < 8 * groups; row++) {
        sum += w[row / 8 * group_stride + column * 8 + row % 8] * x[row * 48 + lane];
      }
      c[column * 48 + lane] = sum;
    }
  }
}
