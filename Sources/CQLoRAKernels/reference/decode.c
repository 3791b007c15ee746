/* 4-bit lines, their scales and bf16 to fp32, in scalar C: the oracle. */
#include "../product_slots.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

static unsigned code_at(const uint8_t *line, long column, long row) {
  uint32_t lane;
  memcpy(&lane, line + 4 * (row + 8 * (column & 1)), 4);
  return (lane >> (4 * (column >> 1))) & 15;
}

void qlora_decode_lines_reference(long lines, const uint8_t *codes, const float *table,
                                  const float *scales, long first_line, long lines_per_block,
                                  float *out) {
  for (long i = 0; i < lines; i++) {
    const float *scale = scales + (first_line + i) / lines_per_block * 8;
    for (long column = 0; column < 16; column++) {
      for (long row = 0; row < 8; row++) {
        out[(i * 16 + column) * 8 + row] = table[code_at(codes + i * 64, column, row)] * scale[row];
      }
    }
  }
}

void qlora_widen_bf16_reference(long count, const uint16_t *values, float *out) {
  for (long i = 0; i < count; i++) out[i] = qlora_bf16_to_f32(values[i]);
}

void qlora_decode_scales_reference(long count, long first, const uint8_t *codes, const float *map,
                                   const float *absmax, float offset, float *out) {
  for (long i = 0; i < count; i++) {
    float product = map[codes[i]] * absmax[(first + i) / 256];
    out[i] = product + offset;
  }
}
