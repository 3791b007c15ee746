/* Which int16 kernels go with a table of kernels on this CPU. */
#include "int16_slots.h"

#include <string.h>

#define SLOTS(isa)                                                                        \
  #isa, qlora_int16_quantize_##isa, qlora_int16_tile_##isa,                               \
  qlora_int16_decode_rows_##isa, qlora_int16_decode_columns_##isa

static const qlora_int16_kernels reference = {SLOTS(reference)};
#if defined(__x86_64__)
static const qlora_int16_kernels avx512vnni = {SLOTS(avx512vnni)};
#endif

const qlora_int16_kernels *qlora_int16_kernels_for(const char *name) {
  if (strcmp(name, "reference") == 0) return &reference;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512vnni")) return &avx512vnni;
#endif
  return NULL;
}
