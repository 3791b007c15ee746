/* Kernels of LLM.int8: weights with a scale per row and activations with a scale per token, both in
 * 8 bits, whose products are summed exactly in int32.
 * Source: Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339.
 *
 * Layouts, each in fours of steps of the reduction, as dot-product instructions read them
 *   band   weights of 32 rows `[k / 4][32][4]` int8, zero padded
 *   codes  activations of a token `[k]` uint8, biased by QLORA_INT8_BIAS; k is padded to a multiple
 *          of 4 with the bias, which stands for zero
 * Values are rounded to fp16 before all else, as bitsandbytes does. All instruction sets give the
 * same bits. */
#pragma once

#include "qlora_kernels_product.h"

enum { QLORA_INT8_ROWS = 32, QLORA_INT8_BIAS = 128, QLORA_INT8_LARGEST = 127 };

typedef struct qlora_int8_kernels {
  /* "reference", "avx2" or "avx512vnni". */
  const char *name;

  /* The largest |fp16(x[i])| below `threshold`; a NaN counts as largest. Where one is not below
   * it, it does not count, and outliers[i] becomes 1. A threshold of 0 means no outliers, and
   * `outliers` may be NULL. */
  float (*absmax)(long count, const float *x, float threshold, uint8_t *outliers);

  /* codes[i] = fp16(x[i]) * factor to nearest, ties to even, at most 127 in magnitude, plus the
   * bias; the bias alone where outliers[i] is not 0 or the product is no number. `outliers` may be
   * NULL. */
  void (*encode)(long count, const float *x, float factor, const uint8_t *outliers,
                 uint8_t *codes);

  /* sums `[tokens][32]` of (codes - bias) times a band of `fours` fours of steps. `corrections`
   * `[32]` are -bias times the sums of the band's rows. */
  void (*product)(long tokens, long fours, const uint8_t *codes, long stride, const int8_t *band,
                  const int32_t *corrections, int32_t *sums);

  /* out `[tokens][32]` = float(sum) * (token_scales[t] * row_scales[r]) * unit + bias[r], rounded
   * after each operation. */
  void (*scale)(long tokens, const int32_t *sums, const float *token_scales,
                const float *row_scales, float unit, const float *bias, float *out);

  /* `fours` fours of 8 rows, which lie 128 bytes apart, to `[4 * fours][8]`:
   * code * scales[r] * unit, rounded after each operation. */
  void (*decode)(long fours, const int8_t *rows, const float *scales, float unit, float *out);
} qlora_int8_kernels;

/* The kernels that go with a table of product kernels. */
const qlora_int8_kernels *qlora_int8_kernels_for(const qlora_product_kernels *companions);
