/* Products of panels and tiles by the micro-kernel of tile.h. The x subtile should lie in L1 (128
 * steps x 192 bytes); w streams from L2 at 32 bytes per 24 FMAs. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "simd.h"
#include "tile.h"

void qlora_tile_avx512(long k, const float *w, const float *x, float *c, long vectors,
                       int accumulate) {
  tile(k, w, 8, x, 48, c, 48, vectors, accumulate);
}

INLINE void transposed(long groups, const float *w, long group_stride, const float *x, float *c,
                       const int units, int accumulate) {
  tile_sums sums;
  tile_load(&sums, c, 48, units, accumulate);
  for (long group = 0; group < groups; group++) {
    const float *weights = w + group * group_stride, *tokens = x + group * 8 * 48;
    for (long row = 0; row < 8; row++) tile_step(&sums, weights + row, 8, tokens + row * 48, units);
  }
  tile_store(&sums, c, 48, units);
}

void qlora_tile_transposed_avx512(long groups, const float *w, long group_stride, const float *x,
                                  float *c, long vectors, int accumulate) {
  if (vectors == 3) transposed(groups, w, group_stride, x, c, 3, accumulate);
  else if (vectors == 2) transposed(groups, w, group_stride, x, c, 2, accumulate);
  else transposed(groups, w, group_stride, x, c, 1, accumulate);
}
#pragma clang attribute pop  // begun by simd.h
#endif
