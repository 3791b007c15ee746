/* Kernels over rows and elements: norms, rotary, activations, attention, optimizer. */
#pragma once

typedef struct qlora_row_kernels {
  /* Filled by the row kernels; C has no empty structs. */
  const char *name;
} qlora_row_kernels;

extern const qlora_row_kernels qlora_rows_reference;
#if defined(__x86_64__)
extern const qlora_row_kernels qlora_rows_avx2;
extern const qlora_row_kernels qlora_rows_avx512;
#elif defined(__aarch64__)
extern const qlora_row_kernels qlora_rows_neon;
#endif
