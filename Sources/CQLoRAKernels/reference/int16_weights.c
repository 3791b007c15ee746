/* 4-bit and fp32 weights to 16-bit integers, in scalar C: the oracle, equal to the last bit. */
#include "../int16_slots.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

static int code_at(const uint8_t *line, long column, long row) {
  uint32_t lane;
  memcpy(&lane, line + 4 * (row + 8 * (column & 1)), 4);
  return (lane >> (4 * (column >> 1))) & 15;
}

void qlora_int16_decode_rows_reference(long lines, const uint8_t *lines_of_codes,
                                       const int16_t *table, int16_t *codes) {
  for (long column = 0; column < 16 * lines; column++) {
    const uint8_t *line = lines_of_codes + column / 16 * 64;
    for (long row = 0; row < 8; row++) {
      codes[(column / 2 * 8 + row) * 2 + column % 2] = table[code_at(line, column % 16, row)];
    }
  }
}

void qlora_int16_decode_columns_reference(long lines, const uint8_t *lines_of_codes,
                                          const int16_t *table, const int16_t *ratios,
                                          long first_line, long lines_per_block, int16_t *codes,
                                          long half_stride) {
  for (long column = 0; column < 16 * lines; column++) {
    const uint8_t *line = lines_of_codes + column / 16 * 64;
    const int16_t *ratio = ratios + (first_line + column / 16) / lines_per_block * 8;
    int16_t *out = codes + column / 8 * half_stride + column % 8 * 2;
    for (long row = 0; row < 8; row++) {
      int32_t product = table[code_at(line, column % 16, row)] * ratio[row];
      int32_t rounded = (product + (1 << 14)) >> 15;
      out[row / 2 * 16 + row % 2] = (int16_t)((rounded + 4) >> 3);
    }
  }
}

/* What multiplies the values of a segment, and its scale. */
static float inverse_of(float largest, float *scale) {
  *scale = 0;
  if (!(largest < INFINITY)) {
    *scale = NAN;
    return 0;
  }
  if (largest < QLORA_INT16_LEAST) return 0;
  *scale = largest / QLORA_INT16_WEIGHT;
  return QLORA_INT16_WEIGHT / largest;
}

/* Compared as bits, so that a NaN is larger than everything. */
static float larger(float left, float right) {
  uint32_t a, b;
  left = fabsf(left);
  right = fabsf(right);
  memcpy(&a, &left, 4);
  memcpy(&b, &right, 4);
  return a > b ? left : right;
}

static int16_t nearest(float value, float inverse) {
  return inverse == 0 ? 0 : (int16_t)nearbyintf(value * inverse);
}

void qlora_int16_quantize_rows_reference(long k, long segment, const float *panel, int16_t *codes,
                                         float *scales) {
  for (; k > 0; k -= segment) {
    long count = k < segment ? k : segment;
    for (long row = 0; row < 8; row++) {
      float largest = 0;
      for (long i = 0; i < count; i++) largest = larger(largest, panel[i * 8 + row]);
      float inverse = inverse_of(largest, scales + row);
      for (long i = 0; i < count; i++) {
        codes[(i / 2 * 8 + row) * 2 + i % 2] = nearest(panel[i * 8 + row], inverse);
      }
    }
    panel += count * 8;
    codes += count * 8;
    scales += 8;
  }
}

void qlora_int16_quantize_columns_reference(long groups, const float *panel, long group_stride,
                                            int16_t *codes, float *scales) {
  for (long column = 0; column < 8; column++) {
    float largest = 0;
    for (long i = 0; i < 8 * groups; i++) {
      largest = larger(largest, panel[i / 8 * group_stride + column * 8 + i % 8]);
    }
    float inverse = inverse_of(largest, scales + column);
    for (long i = 0; i < 8 * groups; i++) {
      float value = panel[i / 8 * group_stride + column * 8 + i % 8];
      codes[(i / 2 * 8 + column) * 2 + i % 2] = nearest(value, inverse);
    }
  }
}
