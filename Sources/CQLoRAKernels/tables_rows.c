// The tables of the row, element, attention and optimizer kernels, one per instruction set. Every
// slot names its function, so that a missing kernel does not link.
#include "qlora_kernels_rows.h"

#define DECLARE(isa)                                                                              \
  void qlora_rms_norm_##isa(long, long, float, const void *, qlora_element, const void *,   \
                            qlora_element, void *, qlora_element, float *);                       \
  void qlora_rms_norm_backward_##isa(long, long, const float *, const void *,               \
                                     qlora_element, const void *, qlora_element, const float *,   \
                                     float *, int);                                               \
  void qlora_layer_norm_##isa(long, long, float, const void *, qlora_element, const float *,      \
                              const float *, void *, qlora_element, float *);                     \
  void qlora_layer_norm_backward_##isa(long, long, const float *, const void *, qlora_element,    \
                                       const float *, const float *, float *, int);               \
  void qlora_rotary_##isa(long, long, long, long, void *, qlora_element, const int32_t *,         \
                          const float *, const float *, int);                                     \
  void qlora_silu_multiply_##isa(long, const void *, qlora_element, const void *,              \
                                 qlora_element, void *, qlora_element);                           \
  void qlora_silu_multiply_backward_##isa(long, const float *, const void *, qlora_element,    \
                                          const void *, qlora_element, float *, float *);         \
  void qlora_gelu_multiply_##isa(long, int, const void *, qlora_element, const void *,            \
                                 qlora_element, void *, qlora_element);                           \
  void qlora_gelu_multiply_backward_##isa(long, int, const float *, const void *, qlora_element,  \
                                          const void *, qlora_element, float *, float *);         \
  void qlora_logistic_multiply_##isa(long, float, const void *, qlora_element, void *,            \
                                     qlora_element);                                              \
  void qlora_column_moments_##isa(long, long, const float *, const float *, float *, float *);    \
  void qlora_column_affine_##isa(long, long, const float *, const float *, const float *,         \
                                 const float *, int, void *, qlora_element);                      \
  void qlora_softmax_row_##isa(long, float, float *, const float *, void *, qlora_element);       \
  void qlora_add_##isa(long, const void *, qlora_element, const void *, qlora_element,         \
                       void *, qlora_element);                                                    \
  void qlora_convert_##isa(long, const void *, qlora_element, void *, qlora_element);          \
  void qlora_scale_##isa(long, void *, qlora_element, float);                                  \
  void qlora_add_scaled_##isa(long, float, const void *, qlora_element, float *);                 \
  float qlora_dot_##isa(long, const void *, qlora_element, const float *);                        \
  double qlora_sum_of_squares_##isa(long, const void *, qlora_element);                        \
  void qlora_adamw_##isa(long, float *, const float *, float *, float *,                       \
                         const qlora_adamw_constants *);                                          \
  void qlora_lion_##isa(long, float *, const float *, float *, const qlora_lion_constants *);     \
  void qlora_sgd_##isa(long, float *, const float *, float *, const qlora_sgd_constants *);       \
  void qlora_attention_##isa(const qlora_attention *);                                            \
  void qlora_attention_backward_##isa(const qlora_attention_gradients *);                         \
  void qlora_attention_row_##isa(const qlora_attention *);

/// The kernels of `isa` under the name `table`, with the attention over many rows of `wide`.
#define TABLE_WITH(table, isa, wide)                                                              \
  const qlora_row_kernels qlora_rows_##table = {                                                  \
      .name = #table,                                                                             \
      .rms_norm = qlora_rms_norm_##isa,                                                           \
      .rms_norm_backward = qlora_rms_norm_backward_##isa,                                         \
      .layer_norm = qlora_layer_norm_##isa,                                                       \
      .layer_norm_backward = qlora_layer_norm_backward_##isa,                                     \
      .rotary = qlora_rotary_##isa,                                                               \
      .silu_multiply = qlora_silu_multiply_##isa,                                                 \
      .silu_multiply_backward = qlora_silu_multiply_backward_##isa,                               \
      .gelu_multiply = qlora_gelu_multiply_##isa,                                                 \
      .gelu_multiply_backward = qlora_gelu_multiply_backward_##isa,                               \
      .logistic_multiply = qlora_logistic_multiply_##isa,                                         \
      .column_moments = qlora_column_moments_##isa,                                               \
      .column_affine = qlora_column_affine_##isa,                                                 \
      .softmax_row = qlora_softmax_row_##isa,                                                     \
      .add = qlora_add_##isa,                                                                     \
      .convert = qlora_convert_##isa,                                                             \
      .scale = qlora_scale_##isa,                                                                 \
      .add_scaled = qlora_add_scaled_##isa,                                                       \
      .dot = qlora_dot_##isa,                                                                     \
      .sum_of_squares = qlora_sum_of_squares_##isa,                                               \
      .adamw = qlora_adamw_##isa,                                                                 \
      .lion = qlora_lion_##isa,                                                                   \
      .sgd = qlora_sgd_##isa,                                                                     \
      .attention = qlora_attention_##wide,                                                        \
      .attention_backward = qlora_attention_backward_##wide,                                      \
      .attention_row = qlora_attention_row_##isa,                                                 \
  };
#define TABLE(table, isa) TABLE_WITH(table, isa, isa)

DECLARE(reference)
TABLE(reference, reference)
#if defined(__x86_64__)
DECLARE(avx2)
TABLE(avx2, avx2)
DECLARE(avx512)
TABLE(avx512, avx512)
void qlora_attention_avx512bf16(const qlora_attention *);
void qlora_attention_backward_avx512bf16(const qlora_attention_gradients *);
TABLE_WITH(avx512bf16, avx512, avx512bf16)
void qlora_attention_amx(const qlora_attention *);
void qlora_attention_backward_amx(const qlora_attention_gradients *);
TABLE_WITH(amx, avx512, amx)
#elif defined(__aarch64__)
DECLARE(neon)
TABLE(neon, neon)
#endif
