/* Products of a few tokens, in scalar C: the oracle. */
#include "../product_slots.h"

void qlora_few_f32_reference(long tokens, long k, const float *w, const float *x, long stride,
                             float *out) {
  for (long t = 0; t < tokens; t++) {
    for (long row = 0; row < 8; row++) {
      float sum = 0;
      for (long i = 0; i < k; i++) sum += w[i * 8 + row] * x[t * stride + i];
      out[t * 8 + row] = sum;
    }
  }
}

void qlora_few_bf16_reference(long tokens, long k, const uint16_t *w, const float *x, long stride,
                              float *out) {
  for (long t = 0; t < tokens; t++) {
    for (long row = 0; row < 8; row++) {
      float sum = 0;
      for (long i = 0; i < k; i++) sum += qlora_bf16_to_f32(w[i * 8 + row]) * x[t * stride + i];
      out[t * 8 + row] = sum;
    }
  }
}

void qlora_few_lines_reference(long tokens, long lines, const uint8_t *codes, const float *table,
                               const float *scales, long lines_per_block, const float *x,
                               long stride, float *out) {
  for (long i = 0; i < tokens * 8; i++) out[i] = 0;
  for (long line = 0; line < lines; line++) {
    float w[16 * 8];
    qlora_decode_lines_reference(1, codes + line * 64, table, scales, line, lines_per_block, w);
    for (long t = 0; t < tokens; t++) {
      const float *columns = x + t * stride + line * 16;
      for (long i = 0; i < 16 * 8; i++) out[t * 8 + i % 8] += w[i] * columns[i / 8];
    }
  }
}
