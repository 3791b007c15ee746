/* Which row kernel serves each slot on each instruction set; fallbacks are visible here. */
#include "qlora_kernels_rows.h"

const qlora_row_kernels qlora_rows_reference = {.name = "reference"};
#if defined(__x86_64__)
const qlora_row_kernels qlora_rows_avx2 = {.name = "avx2"};
const qlora_row_kernels qlora_rows_avx512 = {.name = "avx512"};
#elif defined(__aarch64__)
const qlora_row_kernels qlora_rows_neon = {.name = "neon"};
#endif
