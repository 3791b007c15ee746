/* The bf16 product and what brings its sums home, in scalar C: the oracle. */
#include "../matrix_slots.h"

#include "element.h"

#pragma STDC FP_CONTRACT OFF

static float widened(const uint16_t *x) { return float_from_bits((uint32_t)*x << 16); }

/* One step of one sum: even and odd products apart, as the matrix unit adds them. */
static float step_sum(const uint16_t *row, const uint16_t *column) {
  float sums[2] = {0, 0};
  for (long i = 0; i < 32; i++) {
    sums[i % 2] += widened(row + i) * widened(column + i / 2 * 32 + i % 2);
  }
  return sums[0] + sums[1];
}

void qlora_matrix_product_reference(long parts, const qlora_matrix_part *part, long blocks,
                                    float *c, long stride, int accumulate) {
  for (long row = 0; row < 32; row++) {
    for (long n = 0; n < 32 * blocks; n++) {
      float sum = accumulate ? c[row * stride + n] : 0;
      for (long p = 0; p < parts; p++) {
        const uint16_t *columns = part[p].columns + n / 32 * part[p].block_stride
                                + n % 32 / 16 * QLORA_HALF_ELEMENTS + n % 16 * 2;
        for (long s = 0; s < part[p].steps; s++) {
          sum += step_sum(part[p].strip + s * part[p].strip_stride + row * QLORA_STEP_ROW,
                          columns + s * QLORA_STEP_ELEMENTS);
        }
      }
      c[row * stride + n] = sum;
    }
  }
}

void qlora_matrix_store_f32_reference(long rows, long columns, const float *c, long c_stride,
                                      const float *bias, float *out, long stride,
                                      int accumulate) {
  for (long row = 0; row < rows; row++) {
    for (long n = 0; n < columns; n++) {
      float value = c[row * c_stride + n] + (bias ? bias[n] : 0);
      out[row * stride + n] = value + (accumulate ? out[row * stride + n] : 0);
    }
  }
}

void qlora_matrix_store_bf16_reference(long rows, long columns, const float *c, long c_stride,
                                       const float *bias, uint16_t *out, long stride) {
  for (long row = 0; row < rows; row++) {
    for (long n = 0; n < columns; n++) {
      out[row * stride + n] = bf16_from_float(c[row * c_stride + n] + (bias ? bias[n] : 0));
    }
  }
}

double qlora_matrix_peak_reference(long rounds) {
  uint16_t row[32] = {0}, column[512] = {0};
  for (long i = 0; i < rounds; i++) {
    float sum = step_sum(row, column);
    __asm__ volatile("" : : "r"(&sum) : "memory");
  }
  return 64.0 * (double)rounds;
}
