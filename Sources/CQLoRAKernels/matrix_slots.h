/* Declares one instruction set's kernels of bf16 products; `qlora_kernels_matrix.h` is their
 * contract. */
#pragma once

#include "qlora_kernels_matrix.h"

#define QLORA_DECLARE_MATRIX(isa)                                                                 \
  void qlora_strip_f32_##isa(long rows, long k, const float *x, long stride, uint16_t *out);      \
  void qlora_strip_bf16_##isa(long rows, long k, const uint16_t *x, long stride, uint16_t *out);  \
  void qlora_planes_bf16_##isa(long pixels, long channels, const uint16_t *x, long repeats,       \
                               uint16_t *out, long plane_stride);                                 \
  void qlora_half_of_rows_##isa(long k, const float *first, const float *second, uint16_t *out);  \
  void qlora_half_of_columns_##isa(long groups, const float *panel, long group_stride,            \
                                   uint16_t *out);                                                \
  void qlora_half_of_tokens_f32_##isa(long tokens, long columns, const float *x, long stride,     \
                                      uint16_t *out);                                             \
  void qlora_half_of_tokens_bf16_##isa(long tokens, long columns, const uint16_t *x, long stride, \
                                       uint16_t *out);                                            \
  void qlora_residual_##isa(long count, const float *x, float *out);                              \
  void qlora_matrix_store_f32_##isa(long rows, long columns, const float *c, long c_stride,       \
                                    const float *bias, float *out, long stride, int accumulate);  \
  void qlora_matrix_store_bf16_##isa(long rows, long columns, const float *c, long c_stride,      \
                                     const float *bias, uint16_t *out, long stride);              \
  void qlora_matrix_softmax_##isa(long rows, long columns, const float *c, long stride,           \
                                  long first, qlora_softmax_row *state, float *factors,           \
                                  uint16_t *out);

/* The product itself, of an instruction set or a unit that takes the former's layouts. */
#define QLORA_DECLARE_MATRIX_PRODUCT(unit)                                                        \
  void qlora_matrix_product_##unit(long parts, const qlora_matrix_part *part, long blocks,        \
                                   float *c, long stride, int accumulate);                        \
  double qlora_matrix_peak_##unit(long rounds);

QLORA_DECLARE_MATRIX(reference)
QLORA_DECLARE_MATRIX_PRODUCT(reference)
#if defined(__x86_64__)
QLORA_DECLARE_MATRIX(avx512bf16)
QLORA_DECLARE_MATRIX_PRODUCT(avx512bf16)
QLORA_DECLARE_MATRIX_PRODUCT(amx)
#endif

/* Elements from one row to the next within a step of a strip. */
enum { QLORA_STEP_ROW = 32, QLORA_HALF_ELEMENTS = 512 };

/* Steps that hold a reduction of k. */
static inline long qlora_steps(long k) { return (k + QLORA_STEP - 1) / QLORA_STEP; }
