/* Which kernel of bf16 products serves each slot. */
#include "matrix_slots.h"

#define MATRIX(isa)                                                                               \
  {.strip_f32 = qlora_strip_f32_##isa, .strip_bf16 = qlora_strip_bf16_##isa,                      \
   .planes_bf16 = qlora_planes_bf16_##isa,                                                        \
   .half_of_rows = qlora_half_of_rows_##isa, .half_of_columns = qlora_half_of_columns_##isa,      \
   .half_of_tokens_f32 = qlora_half_of_tokens_f32_##isa,                                          \
   .half_of_tokens_bf16 = qlora_half_of_tokens_bf16_##isa, .residual = qlora_residual_##isa,      \
   .product = qlora_matrix_product_##isa, .store_f32 = qlora_matrix_store_f32_##isa,              \
   .store_bf16 = qlora_matrix_store_bf16_##isa, .softmax = qlora_matrix_softmax_##isa,            \
   .peak = qlora_matrix_peak_##isa}

const qlora_matrix_kernels qlora_matrix_reference = MATRIX(reference);
#if defined(__x86_64__)
const qlora_matrix_kernels qlora_matrix_amx = MATRIX(amx);
#endif
