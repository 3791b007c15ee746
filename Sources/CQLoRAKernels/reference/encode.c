/* Block scales and 4-bit codes, in scalar C: the oracle. */
#include "../product_slots.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

float qlora_absmax_reference(long count, const float *x) {
  float largest = 0;
  for (long i = 0; i < count; i++) {
    float value = fabsf(x[i]);
    if (value > largest) largest = value;
  }
  return largest;
}

void qlora_encode_reference(long count, const float *x, float factor, int divide,
                            const float *thresholds, uint8_t *codes) {
  for (long i = 0; i < count; i++) {
    float value = divide ? x[i] / factor : x[i] * factor;
    uint8_t code = 0;
    for (long t = 0; t < 15; t++) code += value > thresholds[t];
    codes[i] = code;
  }
}
