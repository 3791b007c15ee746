/* Products of panels and tiles in NEON by the micro-kernel of tile.h. */
#if defined(__aarch64__)
#include "../product_slots.h"

#include "simd.h"
#include "tile.h"
#include "transpose.h"

void qlora_tile_neon(long k, const float *w, const float *x, float *c, long vectors,
                     int accumulate) {
  tile(k, w, 8, x, 48, c, 48, vectors, accumulate);
}

/* The eight columns of a group are turned once, and then serve every lane. */
void qlora_tile_transposed_neon(long groups, const float *w, long group_stride, const float *x,
                                float *c, long vectors, int accumulate) {
  for (long group = 0; group < groups; group++) {
    float turned[64];
    transpose(8, 8, w + group * group_stride, 8, turned, 8);
    tile(8, turned, 8, x + group * 8 * 48, 48, c, 48, vectors, accumulate || group > 0);
  }
}
#endif
