/* Block scales and 4-bit codes, in scalar C: the oracle. */
#include "../product_slots.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

float qlora_absmax_reference(long count, const float *x) {
  /* Magnitudes are ordered as their bits are, with infinity and NaN above all others. */
  uint32_t largest = 0;
  for (long i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7FFFFFFF;
    if (bits > largest) largest = bits;
  }
  float value;
  memcpy(&value, &largest, sizeof value);
  return value;
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

void qlora_insert_codes_reference(long count, const uint8_t *codes, uint32_t *lines) {
  for (long i = 0; i < count; i++) {
    for (long j = 0; j < 16; j++) {
      lines[i * 16 + j % 2 * 8] |= (uint32_t)codes[i * 16 + j] << (j / 2 * 4);
    }
  }
}
