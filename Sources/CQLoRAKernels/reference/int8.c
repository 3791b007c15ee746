/* LLM.int8's products in scalar C: the oracle, equal to the last bit. */
#include "../int8_slots.h"
#include "element.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

static float rounded(float value) { return float_from_f16(f16_from_float(value)); }

float qlora_int8_absmax_reference(long count, const float *x, float threshold, uint8_t *outliers) {
  /* Compared as bits, so that a NaN is larger than everything. */
  uint32_t largest = 0;
  for (long i = 0; i < count; i++) {
    const float magnitude = fabsf(rounded(x[i]));
    if (threshold > 0 && magnitude >= threshold) {
      outliers[i] = 1;
    } else if (bits_from_float(magnitude) > largest) {
      largest = bits_from_float(magnitude);
    }
  }
  return float_from_bits(largest);
}

void qlora_int8_encode_reference(long count, const float *x, float factor,
                                 const uint8_t *outliers, uint8_t *codes) {
  for (long i = 0; i < count; i++) {
    float value = rounded(x[i]) * factor;
    if (value != value || (outliers && outliers[i])) value = 0;
    value = fminf(fmaxf(value, -QLORA_INT8_LARGEST), QLORA_INT8_LARGEST);
    codes[i] = (uint8_t)((long)nearbyintf(value) + QLORA_INT8_BIAS);
  }
}

void qlora_int8_product_reference(long tokens, long fours, const uint8_t *codes, long stride,
                                  const int8_t *band, const int32_t *corrections, int32_t *sums) {
  (void)corrections;
  for (long t = 0; t < tokens; t++) {
    for (long row = 0; row < QLORA_INT8_ROWS; row++) {
      int32_t sum = 0;
      for (long k = 0; k < 4 * fours; k++) {
        const int32_t code = codes[t * stride + k] - QLORA_INT8_BIAS;
        sum += code * band[(k / 4 * QLORA_INT8_ROWS + row) * 4 + k % 4];
      }
      sums[t * QLORA_INT8_ROWS + row] = sum;
    }
  }
}

void qlora_int8_scale_reference(long tokens, const int32_t *sums, const float *token_scales,
                                const float *row_scales, float unit, const float *bias,
                                float *out) {
  for (long i = 0; i < tokens * QLORA_INT8_ROWS; i++) {
    const long row = i % QLORA_INT8_ROWS;
    const float scale = token_scales[i / QLORA_INT8_ROWS] * row_scales[row];
    out[i] = (float)sums[i] * scale * unit + bias[row];
  }
}

void qlora_int8_decode_reference(long fours, const int8_t *rows, const float *scales, float unit,
                                 float *out) {
  for (long k = 0; k < 4 * fours; k++) {
    for (long row = 0; row < 8; row++) {
      const int8_t code = rows[k / 4 * QLORA_INT8_ROWS * 4 + row * 4 + k % 4];
      out[k * 8 + row] = (float)code * scales[row] * unit;
    }
  }
}
