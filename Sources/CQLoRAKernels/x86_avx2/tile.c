/* Products of panels and tiles by the micro-kernel of tile.h, in parts of 4 weights x 24 tokens. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "simd.h"
#include "tile.h"

/* Steps between a load of activations and the request for them: a tile comes from L3 the first
 * time, and its stream is too short for the processor to guess the next. */
enum { AHEAD = 16 };

/* One part of a product: `inner` steps for each of `groups` groups of weights, which lie
 * `group_stride` floats apart. Only the first part over some lanes need ask for the next ones. */
INLINE void part(long groups, long inner, const float *w, long group_stride, const int next,
                 const int apart, const float *x, float *c, const int vectors, int accumulate,
                 const int first) {
  part_sums sums;
  part_load(&sums, c, 48, vectors, accumulate);
  for (long group = 0; group < groups; group++, w += group_stride) {
    for (long step = 0; step < inner; step++, x += 48) {
      if (first) {
        _mm_prefetch(x + 48 * AHEAD, _MM_HINT_T0);
        if (vectors == 3) _mm_prefetch(x + 48 * AHEAD + 16, _MM_HINT_T0);
      }
      part_step(&sums, w + step * next, apart, x, vectors);
    }
  }
  part_store(&sums, c, 48, vectors);
}

INLINE void product(long groups, long inner, const float *w, long group_stride, const int next,
                    const int apart, const float *x, float *c, long units, int accumulate) {
  const float *lower = w + 4 * apart;
  if (units == 3) {
    for (long lane = 0; lane < 48; lane += 24) {
      float *to = c + lane;
      part(groups, inner, w, group_stride, next, apart, x + lane, to, 3, accumulate, 1);
      part(groups, inner, lower, group_stride, next, apart, x + lane, to + 4 * 48, 3, accumulate,
           0);
    }
    return;
  }
  for (long lane = 0; lane < 16 * units; lane += 16) {
    float *to = c + lane;
    part(groups, inner, w, group_stride, next, apart, x + lane, to, 2, accumulate, 1);
    part(groups, inner, lower, group_stride, next, apart, x + lane, to + 4 * 48, 2, accumulate, 0);
  }
}

void qlora_tile_avx2(long k, const float *w, const float *x, float *c, long vectors,
                     int accumulate) {
  product(1, k, w, 0, 8, 1, x, c, vectors, accumulate);
}

void qlora_tile_transposed_avx2(long groups, const float *w, long group_stride, const float *x,
                                float *c, long vectors, int accumulate) {
  product(groups, 8, w, group_stride, 1, 8, x, c, vectors, accumulate);
}
#pragma clang attribute pop  // begun by simd.h
#endif
