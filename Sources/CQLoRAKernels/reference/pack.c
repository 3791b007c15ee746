/* Rows of tokens to tiles and back, in scalar C: the oracle. */
#include "../product_slots.h"

void qlora_pack_f32_reference(long tokens, long k, const float *x, long stride, float *out) {
  for (long i = 0; i < k; i++) {
    for (long t = 0; t < 48; t++) out[i * 48 + t] = t < tokens ? x[t * stride + i] : 0;
  }
}

void qlora_pack_bf16_reference(long tokens, long k, const uint16_t *x, long stride, float *out) {
  for (long i = 0; i < k; i++) {
    for (long t = 0; t < 48; t++) {
      out[i * 48 + t] = t < tokens ? qlora_bf16_to_f32(x[t * stride + i]) : 0;
    }
  }
}

void qlora_unpack_f32_reference(long tokens, long rows, const float *c, const float *bias,
                                float *out, long stride, int accumulate) {
  for (long t = 0; t < tokens; t++) {
    for (long row = 0; row < rows; row++) {
      float value = c[row * 48 + t];
      if (bias) value += bias[row];
      if (accumulate) value += out[t * stride + row];
      out[t * stride + row] = value;
    }
  }
}

void qlora_unpack_bf16_reference(long tokens, long rows, const float *c, const float *bias,
                                 uint16_t *out, long stride) {
  for (long t = 0; t < tokens; t++) {
    for (long row = 0; row < rows; row++) {
      float value = c[row * 48 + t];
      if (bias) value += bias[row];
      out[t * stride + row] = qlora_f32_to_bf16(value);
    }
  }
}

void qlora_panel_f32_reference(long rows, long k, const float *w, long stride, float *out) {
  for (long i = 0; i < k; i++) {
    for (long row = 0; row < 8; row++) out[i * 8 + row] = row < rows ? w[row * stride + i] : 0;
  }
}
