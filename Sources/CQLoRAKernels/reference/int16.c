/* Quantized activations and their products in 16-bit integers, in scalar C: the oracle, equal to
 * the last bit. */
#include "../int16_slots.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

static float value_at(const float *x, const float *factors, long step, long lane) {
  float value = x[step * 48 + lane];
  return factors ? value * factors[step] : value;
}

/* Compared as bits, so that a NaN is larger than everything. */
static float largest_of(long k, const float *x, const float *factors, long lane) {
  uint32_t largest = 0;
  for (long i = 0; i < k; i++) {
    float value = value_at(x, factors, i, lane);
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits &= 0x7FFFFFFF;
    if (bits > largest) largest = bits;
  }
  float value;
  memcpy(&value, &largest, 4);
  return value;
}

void qlora_int16_quantize_reference(long k, long segment, const float *x, const float *factors,
                                    float unit, int16_t *lanes, float *scales, long vectors) {
  for (; k > 0; k -= segment) {
    long count = k < segment ? k : segment;
    for (long lane = 0; lane < 16 * vectors; lane++) {
      float largest = largest_of(count, x, factors, lane);
      float inverse = 0;
      scales[lane] = 0;
      if (!(largest < INFINITY)) {
        scales[lane] = NAN;
      } else if (largest >= QLORA_INT16_LEAST) {
        inverse = QLORA_INT16_LANE / largest;
        scales[lane] = largest * unit;
      }
      for (long i = 0; i < count; i++) {
        float value = inverse == 0 ? 0 : value_at(x, factors, i, lane) * inverse;
        lanes[(i / 2 * 48 + lane) * 2 + i % 2] = (int16_t)nearbyintf(value);
      }
    }
    x += count * 48;
    lanes += count * 48;
    scales += 48;
    if (factors) factors += count;
  }
}

void qlora_int16_tile_reference(long k, long segment, const int16_t *codes,
                                const float *row_scales, long row_stride, const int16_t *lanes,
                                const float *lane_scales, float *c, long vectors, int accumulate) {
  for (; k > 0; k -= segment) {
    long count = k < segment ? k : segment;
    for (long row = 0; row < 8; row++) {
      for (long lane = 0; lane < 16 * vectors; lane++) {
        int32_t sum = 0;
        for (long i = 0; i < count; i++) {
          sum += codes[(i / 2 * 8 + row) * 2 + i % 2] * lanes[(i / 2 * 48 + lane) * 2 + i % 2];
        }
        float before = accumulate ? c[row * 48 + lane] : 0;
        c[row * 48 + lane] = fmaf((float)sum * row_scales[row], lane_scales[lane], before);
      }
    }
    accumulate = 1;
    codes += count * 8;
    lanes += count * 48;
    row_scales += row_stride;
    lane_scales += 48;
  }
}
