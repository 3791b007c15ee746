/* Rows of tokens to tiles and back in NEON, by 4 x 4 transposes. Rests of fewer than four tokens or
 * columns go element by element. */
#if defined(__aarch64__)
#include "../product_slots.h"

#include "../reference/element.h"

#include "simd.h"
#include "transpose.h"

INLINE vec load_row(qlora_element type, const void *x, long at) {
  return type == qlora_element_f32 ? vec_load((const float *)x + at)
                                   : vec_load_bf16((const uint16_t *)x + at);
}

INLINE void pack(long tokens, long k, const void *x, long stride, float *out,
                 const qlora_element type) {
  const long columns = k / 4 * 4, full = tokens / 4 * 4;
  for (long t = 0; t < full; t += 4) {
    for (long i = 0; i < columns; i += 4) {
      vec r[4];
      for (int j = 0; j < 4; j++) r[j] = load_row(type, x, (t + j) * stride + i);
      transpose_quad(r);
      for (int j = 0; j < 4; j++) vec_store(out + (i + j) * 48 + t, r[j]);
    }
  }
  for (long i = 0; i < k; i++) {
    for (long t = i < columns ? full : 0; t < 48; t++) {
      out[i * 48 + t] = t < tokens ? element_load(type, x, t * stride + i) : 0;
    }
  }
}

void qlora_pack_f32_neon(long tokens, long k, const float *x, long stride, float *out) {
  pack(tokens, k, x, stride, out, qlora_element_f32);
}

void qlora_pack_bf16_neon(long tokens, long k, const uint16_t *x, long stride, float *out) {
  pack(tokens, k, x, stride, out, qlora_element_bf16);
}

INLINE void unpack(long tokens, long rows, const float *c, const float *bias, void *out,
                   long stride, int accumulate, const qlora_element type) {
  const long whole = rows / 4 * 4, full = tokens / 4 * 4;
  for (long row = 0; row < whole; row += 4) {
    const vec shift = bias ? vec_load(bias + row) : vec_set(-0.0f);
    for (long t = 0; t < full; t += 4) {
      vec r[4];
      for (int j = 0; j < 4; j++) r[j] = vec_load(c + (row + j) * 48 + t);
      transpose_quad(r);
      for (int j = 0; j < 4; j++) {
        vec value = vec_add(r[j], shift);
        const long at = (t + j) * stride + row;
        if (type == qlora_element_bf16) {
          vec_store_bf16((uint16_t *)out + at, value);
        } else {
          float *place = (float *)out + at;
          if (accumulate) value = vec_add(value, vec_load(place));
          vec_store(place, value);
        }
      }
    }
  }
  for (long t = 0; t < tokens; t++) {
    for (long row = t < full ? whole : 0; row < rows; row++) {
      float value = c[row * 48 + t];
      if (bias) value += bias[row];
      if (accumulate) value += element_load(type, out, t * stride + row);
      element_store(type, out, t * stride + row, value);
    }
  }
}

void qlora_unpack_f32_neon(long tokens, long rows, const float *c, const float *bias, float *out,
                           long stride, int accumulate) {
  unpack(tokens, rows, c, bias, out, stride, accumulate, qlora_element_f32);
}

void qlora_unpack_bf16_neon(long tokens, long rows, const float *c, const float *bias,
                            uint16_t *out, long stride) {
  unpack(tokens, rows, c, bias, out, stride, 0, qlora_element_bf16);
}
#endif
