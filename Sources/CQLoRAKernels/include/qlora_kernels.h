/* The contract between Swift and the single-threaded SIMD kernels: one table of function pointers
 * per instruction set. Kernels neither allocate, nor thread, nor do I/O; counts are elements unless
 * named otherwise; pointers need only the alignment of their element type and never alias unless a
 * slot says so. `reference` is scalar C and the oracle of the tests. */
#pragma once

#include "qlora_kernels_int16.h"
#include "qlora_kernels_int8.h"
#include "qlora_kernels_matrix.h"
#include "qlora_kernels_product.h"
#include "qlora_kernels_rows.h"

typedef struct qlora_kernels {
  /* "reference", "avx2", "avx512", "avx512bf16", "amx" or "neon". */
  const char *name;
  const qlora_product_kernels *product;
  const qlora_row_kernels *rows;
  /* NULL where bf16 products have no kernels of their own and are computed in fp32. */
  const qlora_matrix_kernels *matrix;
} qlora_kernels;

/* The fastest table of this CPU, or the one that the environment variable QLORA_ISA names;
 * NULL where that one is unknown or the CPU lacks it. */
const qlora_kernels *qlora_kernels_select(void);

/* The table called `name`, or NULL where it is unknown or the CPU lacks it. */
const qlora_kernels *qlora_kernels_for(const char *name);

/* One spin-wait hint. */
static inline void qlora_spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
