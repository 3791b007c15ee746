/* Which int16 kernels go with a table of kernels on this CPU. */
#include "int16_slots.h"

#include <stddef.h>

#define SLOTS(isa)                                                                        \
  #isa, qlora_int16_quantize_##isa, qlora_int16_tile_##isa,                               \
  qlora_int16_decode_rows_##isa, qlora_int16_decode_columns_##isa,                        \
  qlora_int16_quantize_rows_##isa, qlora_int16_quantize_columns_##isa

static const qlora_int16_kernels reference = {SLOTS(reference)};
#if defined(__x86_64__)
static const qlora_int16_kernels avx512vnni = {SLOTS(avx512vnni)};
#endif

const qlora_int16_kernels *qlora_int16_kernels_for(const qlora_product_kernels *companions) {
  if (companions == &qlora_product_reference) return &reference;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (companions == &qlora_product_avx512 && __builtin_cpu_supports("avx512vnni")) {
    return &avx512vnni;
  }
#endif
  return NULL;
}
