/* Declares one instruction set's int8 kernels; `qlora_kernels_int8.h` is their contract. */
#pragma once

#include "qlora_kernels_int8.h"

#define QLORA_DECLARE_INT8(isa)                                                                   \
  float qlora_int8_absmax_##isa(long count, const float *x, float threshold, uint8_t *outliers);  \
  void qlora_int8_encode_##isa(long count, const float *x, float factor,                          \
                               const uint8_t *outliers, uint8_t *codes);                          \
  void qlora_int8_product_##isa(long tokens, long fours, const uint8_t *codes, long stride,       \
                                const int8_t *band, const int32_t *corrections, int32_t *sums);   \
  void qlora_int8_scale_##isa(long tokens, const int32_t *sums, const float *token_scales,        \
                              const float *row_scales, float unit, const float *bias,             \
                              float *out);                                                        \
  void qlora_int8_decode_##isa(long fours, const int8_t *rows, const float *scales, float unit,   \
                               float *out);

QLORA_DECLARE_INT8(reference)
#if defined(__x86_64__)
QLORA_DECLARE_INT8(avx2)
void qlora_int8_product_avx512vnni(long tokens, long fours, const uint8_t *codes, long stride,
                                   const int8_t *band, const int32_t *corrections, int32_t *sums);
#endif
