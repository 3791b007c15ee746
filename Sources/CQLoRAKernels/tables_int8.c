/* Which int8 kernels go with a table of kernels on this CPU. */
#include "int8_slots.h"

#define SLOTS(isa)                                                                                \
  qlora_int8_absmax_##isa, qlora_int8_encode_##isa, qlora_int8_product_##isa,                     \
  qlora_int8_scale_##isa, qlora_int8_decode_##isa

static const qlora_int8_kernels reference = {"reference", SLOTS(reference)};
#if defined(__x86_64__)
static const qlora_int8_kernels avx2 = {"avx2", SLOTS(avx2)};
/* Only the products gain from wider registers; the rest waits for memory. */
static const qlora_int8_kernels avx512vnni = {
    "avx512vnni", qlora_int8_absmax_avx2, qlora_int8_encode_avx2, qlora_int8_product_avx512vnni,
    qlora_int8_scale_avx2, qlora_int8_decode_avx2};
#endif

const qlora_int8_kernels *qlora_int8_kernels_for(const qlora_product_kernels *companions) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (companions == &qlora_product_avx512 && __builtin_cpu_supports("avx512vnni")) {
    return &avx512vnni;
  }
  if (companions != &qlora_product_reference) return &avx2;
#else
  (void)companions;
#endif
  return &reference;
}
