/* Strips and halves of bf16 products, in scalar C: the oracle. */
#include "../matrix_slots.h"

#include <string.h>

#include "element.h"

/* bf16 with subnormal numbers flushed, as the hardware converts. */
static uint16_t rounded(float value) {
  if (value < 0x1p-126f && value > -0x1p-126f) value *= 0;
  return bf16_from_float(value);
}

void qlora_strip_f32_reference(long rows, long k, const float *x, long stride, uint16_t *out) {
  memset(out, 0, (size_t)qlora_steps(k) * QLORA_STEP_ELEMENTS * sizeof *out);
  for (long row = 0; row < rows; row++) {
    for (long i = 0; i < k; i++) {
      out[i / 32 * QLORA_STEP_ELEMENTS + row * QLORA_STEP_ROW + i % 32] =
          rounded(x[row * stride + i]);
    }
  }
}

void qlora_strip_bf16_reference(long rows, long k, const uint16_t *x, long stride,
                                uint16_t *out) {
  memset(out, 0, (size_t)qlora_steps(k) * QLORA_STEP_ELEMENTS * sizeof *out);
  for (long row = 0; row < rows; row++) {
    for (long i = 0; i < k; i++) {
      out[i / 32 * QLORA_STEP_ELEMENTS + row * QLORA_STEP_ROW + i % 32] = x[row * stride + i];
    }
  }
}

void qlora_planes_bf16_reference(long pixels, long channels, const uint16_t *x, long repeats,
                                 uint16_t *out, long plane_stride) {
  for (long pixel = 0; pixel < pixels * repeats; pixel++) {
    for (long i = 0; i < channels; i++) {
      out[i / 32 * plane_stride + pixel * 32 + i % 32] = x[pixel / repeats * channels + i];
    }
  }
}

/* The place of reduction index i and column n in a half. */
static uint16_t *place(uint16_t *half, long i, long n) {
  return half + i / 32 * QLORA_STEP_ELEMENTS + i % 32 / 2 * 32 + 2 * n + i % 2;
}

static void clear(uint16_t *half, long k) {
  for (long step = 0; step < qlora_steps(k); step++) {
    memset(half + step * QLORA_STEP_ELEMENTS, 0, QLORA_HALF_ELEMENTS * sizeof *half);
  }
}

void qlora_half_of_rows_reference(long k, const float *first, const float *second,
                                  uint16_t *out) {
  clear(out, k);
  for (long i = 0; i < k; i++) {
    for (long n = 0; n < 8; n++) {
      *place(out, i, n) = rounded(first[i * 8 + n]);
      *place(out, i, n + 8) = rounded(second[i * 8 + n]);
    }
  }
}

void qlora_half_of_columns_reference(long groups, const float *panel, long group_stride,
                                     uint16_t *out) {
  clear(out, 8 * groups);
  for (long i = 0; i < 8 * groups; i++) {
    for (long n = 0; n < 16; n++) {
      *place(out, i, n) = rounded(panel[i / 8 * group_stride + n * 8 + i % 8]);
    }
  }
}

void qlora_half_of_tokens_f32_reference(long tokens, long columns, const float *x, long stride,
                                        uint16_t *out) {
  clear(out, tokens);
  for (long i = 0; i < tokens; i++) {
    for (long n = 0; n < columns; n++) *place(out, i, n) = rounded(x[i * stride + n]);
  }
}

void qlora_half_of_tokens_bf16_reference(long tokens, long columns, const uint16_t *x,
                                         long stride, uint16_t *out) {
  clear(out, tokens);
  for (long i = 0; i < tokens; i++) {
    for (long n = 0; n < columns; n++) *place(out, i, n) = x[i * stride + n];
  }
}

void qlora_residual_reference(long count, const float *x, float *out) {
  for (long i = 0; i < count; i++) {
    out[i] = x[i] - float_from_bits((uint32_t)rounded(x[i]) << 16);
  }
}
