/* Declares one instruction set's int16 kernels; `qlora_kernels_int16.h` is their contract. */
#pragma once

#include "qlora_kernels_int16.h"

#define QLORA_DECLARE_INT16(isa)                                                                  \
  void qlora_int16_quantize_##isa(long k, long segment, const float *x, const float *factors,     \
                                  float unit, int16_t *lanes, float *scales, long vectors);       \
  void qlora_int16_tile_##isa(long k, long segment, const int16_t *codes,                         \
                              const float *row_scales, long row_stride, const int16_t *lanes,     \
                              const float *lane_scales, float *c, long vectors, int accumulate);  \
  void qlora_int16_decode_rows_##isa(long lines, const uint8_t *lines_of_codes,                   \
                                     const int16_t *table, int16_t *codes);                       \
  void qlora_int16_decode_columns_##isa(long lines, const uint8_t *lines_of_codes,                \
                                        const int16_t *table, const int16_t *ratios,              \
                                        long first_line, long lines_per_block, int16_t *codes,    \
                                        long half_stride);                                        \
  void qlora_int16_quantize_rows_##isa(long k, long segment, const float *panel, int16_t *codes,  \
                                       float *scales);                                            \
  void qlora_int16_quantize_columns_##isa(long groups, const float *panel, long group_stride,     \
                                          int16_t *codes, float *scales);

QLORA_DECLARE_INT16(reference)
#if defined(__x86_64__)
QLORA_DECLARE_INT16(avx512vnni)
#endif

/* Below this a segment counts as zero: 8191 / 2^-100 is still finite. */
#define QLORA_INT16_LEAST 0x1p-100f
