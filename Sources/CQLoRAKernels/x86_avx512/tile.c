/* Products of panels and tiles by the micro-kernel of tile.h, one group of 8 weights a step. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "simd.h"
#include "tile.h"

/* Steps between a load of activations and the request for them, about 200 cycles: a tile comes from
 * L3 the first time, and its stream is too short for the processor to guess the next. */
enum { AHEAD = 16 };

/* `inner` steps for each of `groups` groups of weights, which lie `group_stride` floats apart. */
INLINE void product(long groups, long inner, const float *w, long group_stride, const int next,
                    const int apart, const float *x, float *c, const int units, int accumulate) {
  tile_sums sums;
  tile_load(&sums, c, 48, units, accumulate);
  for (long group = 0; group < groups; group++, w += group_stride) {
    for (long step = 0; step < inner; step++, x += 48) {
      for (int i = 0; i < units; i++) _mm_prefetch(x + 48 * AHEAD + 16 * i, _MM_HINT_T0);
      tile_step(&sums, w + step * next, apart, x, units);
    }
  }
  tile_store(&sums, c, 48, units);
}

INLINE void products(long groups, long inner, const float *w, long group_stride, const int next,
                     const int apart, const float *x, float *c, long units, int accumulate) {
  if (units == 3) product(groups, inner, w, group_stride, next, apart, x, c, 3, accumulate);
  else if (units == 2) product(groups, inner, w, group_stride, next, apart, x, c, 2, accumulate);
  else product(groups, inner, w, group_stride, next, apart, x, c, 1, accumulate);
}

void qlora_tile_avx512(long k, const float *w, const float *x, float *c, long vectors,
                       int accumulate) {
  products(1, k, w, 0, 8, 1, x, c, vectors, accumulate);
}

void qlora_tile_transposed_avx512(long groups, const float *w, long group_stride, const float *x,
                                  float *c, long vectors, int accumulate) {
  products(groups, 8, w, group_stride, 1, 8, x, c, vectors, accumulate);
}
#pragma clang attribute pop  // begun by simd.h
#endif
