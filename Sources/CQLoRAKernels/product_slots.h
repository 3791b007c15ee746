/* Declares one instruction set's product kernels; each is defined in the file of its operation in
 * that set's folder, and `qlora_kernels_product.h` is their contract. */
#pragma once

#include "qlora_kernels_product.h"

#define QLORA_DECLARE_PRODUCT(isa)                                                                \
  void qlora_pack_f32_##isa(long tokens, long k, const float *x, long stride, float *out);        \
  void qlora_pack_bf16_##isa(long tokens, long k, const uint16_t *x, long stride, float *out);    \
  void qlora_tile_##isa(long k, const float *w, const float *x, float *c, long vectors,           \
                        int accumulate);                                                          \
  void qlora_tile_transposed_##isa(long groups, const float *w, long group_stride,                \
                                   const float *x, float *c, long vectors, int accumulate);       \
  void qlora_unpack_f32_##isa(long tokens, long rows, const float *c, const float *bias,          \
                              float *out, long stride, int accumulate);                           \
  void qlora_unpack_bf16_##isa(long tokens, long rows, const float *c, const float *bias,         \
                               uint16_t *out, long stride);                                       \
  void qlora_decode_lines_##isa(long lines, const uint8_t *codes, const float *table,             \
                                const float *scales, long first_line, long lines_per_block,       \
                                float *out);                                                      \
  void qlora_widen_bf16_##isa(long count, const uint16_t *values, float *out);                    \
  void qlora_decode_scales_##isa(long count, long first, const uint8_t *codes, const float *map,  \
                                 const float *absmax, float offset, float *out);                  \
  void qlora_few_lines_##isa(long tokens, long lines, const uint8_t *codes, const float *table,   \
                             const float *scales, long lines_per_block, const float *x,           \
                             long stride, float *out);                                            \
  void qlora_few_f32_##isa(long tokens, long k, const float *w, const float *x, long stride,      \
                           float *out);                                                           \
  void qlora_few_bf16_##isa(long tokens, long k, const uint16_t *w, const float *x, long stride,  \
                            float *out);                                                          \
  float qlora_absmax_##isa(long count, const float *x);                                           \
  void qlora_encode_##isa(long count, const float *x, float factor, int divide,                   \
                          const float *thresholds, uint8_t *codes);                               \
  void qlora_insert_codes_##isa(long count, const uint8_t *codes, uint32_t *lines);               \
  void qlora_lane_max_##isa(long rows, const float *c, float *largest, int32_t *row);             \
  void qlora_lane_exp_sum_##isa(long rows, const float *c, const float *shift, float *sum);       \
  void qlora_lane_exp_##isa(long rows, float *c, const float *shift);                             \
  void qlora_cap_##isa(long count, float *c, float cap);                                          \
  void qlora_lane_exp_capped_##isa(long rows, float *c, const float *shift, float cap);           \
  void qlora_panel_f32_##isa(long rows, long k, const float *w, long stride, float *out);         \
  double qlora_peak_##isa(long rounds);                                                           \
  void qlora_dropout_##isa(long count, uint64_t first, float rate, uint64_t key, uint64_t stream, \
                           const float *in, float *out);

QLORA_DECLARE_PRODUCT(reference)
#if defined(__x86_64__)
QLORA_DECLARE_PRODUCT(avx2)
QLORA_DECLARE_PRODUCT(avx512)
#elif defined(__aarch64__)
QLORA_DECLARE_PRODUCT(neon)
#endif

static inline float qlora_bf16_to_f32(uint16_t bits) {
  union { uint32_t u; float f; } v = {(uint32_t)bits << 16};
  return v.f;
}

/* Nearest, ties to even; a NaN stays one. */
static inline uint16_t qlora_f32_to_bf16(float value) {
  union { float f; uint32_t u; } v = {value};
  if ((v.u & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)((v.u >> 16) | 0x40);
  return (uint16_t)((v.u + 0x7FFFu + ((v.u >> 16) & 1u)) >> 16);
}
