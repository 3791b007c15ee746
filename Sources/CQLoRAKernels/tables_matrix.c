/* Which kernel of bf16 products serves each slot. */
#include "matrix_slots.h"

/* The kernels of `isa` with the products of `unit`. */
#define MATRIX(isa, unit)                                                                         \
  {.strip_f32 = qlora_strip_f32_##isa, .strip_bf16 = qlora_strip_bf16_##isa,                      \
   .planes_bf16 = qlora_planes_bf16_##isa,                                                        \
   .half_of_rows = qlora_half_of_rows_##isa, .half_of_columns = qlora_half_of_columns_##isa,      \
   .half_of_tokens_f32 = qlora_half_of_tokens_f32_##isa,                                          \
   .half_of_tokens_bf16 = qlora_half_of_tokens_bf16_##isa, .residual = qlora_residual_##isa,      \
   .product = qlora_matrix_product_##unit, .store_f32 = qlora_matrix_store_f32_##isa,             \
   .store_bf16 = qlora_matrix_store_bf16_##isa, .softmax = qlora_matrix_softmax_##isa,            \
   .peak = qlora_matrix_peak_##unit}

const qlora_matrix_kernels qlora_matrix_reference = MATRIX(reference, reference);
#if defined(__x86_64__)
const qlora_matrix_kernels qlora_matrix_avx512bf16 = MATRIX(avx512bf16, avx512bf16);
const qlora_matrix_kernels qlora_matrix_amx = MATRIX(avx512bf16, amx);
#endif
