/* What a softmax over a vocabulary needs, down the lanes of a tile, in scalar C: the oracle. */
#include "../product_slots.h"

#include <math.h>

void qlora_lane_max_reference(long rows, const float *c, float *largest, int32_t *row) {
  for (long lane = 0; lane < 48; lane++) {
    largest[lane] = c[lane];
    row[lane] = 0;
    for (long i = 1; i < rows; i++) {
      if (c[i * 48 + lane] > largest[lane]) {
        largest[lane] = c[i * 48 + lane];
        row[lane] = (int32_t)i;
      }
    }
  }
}

void qlora_lane_exp_sum_reference(long rows, const float *c, const float *shift, float *sum) {
  for (long lane = 0; lane < 48; lane++) {
    sum[lane] = 0;
    for (long i = 0; i < rows; i++) sum[lane] += expf(c[i * 48 + lane] - shift[lane]);
  }
}

void qlora_lane_exp_reference(long rows, float *c, const float *shift) {
  for (long i = 0; i < rows * 48; i++) c[i] = expf(c[i] - shift[i % 48]);
}

void qlora_cap_reference(long count, float *c, float cap) {
  for (long i = 0; i < count; i++) c[i] = cap * tanhf(c[i] / cap);
}

void qlora_lane_exp_capped_reference(long rows, float *c, const float *shift, float cap) {
  for (long i = 0; i < rows * 48; i++) {
    const float bent = c[i] / cap;
    c[i] = expf(c[i] - shift[i % 48]) * (1 - bent * bent);
  }
}
