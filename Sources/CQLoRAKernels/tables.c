/* Picks the table of kernels for this CPU. */
#include "qlora_kernels.h"

#include <stdlib.h>
#include <string.h>

static int always(void) { return 1; }

#if defined(__x86_64__)
static int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Best first. */
static const struct {
  qlora_kernels kernels;
  int (*available)(void);
} tables[] = {
#if defined(__x86_64__)
    {{"avx512", &qlora_product_avx512, &qlora_rows_avx512}, has_avx512},
    {{"avx2", &qlora_product_avx2, &qlora_rows_avx2}, has_avx2},
#elif defined(__aarch64__)
    {{"neon", &qlora_product_neon, &qlora_rows_neon}, always},
#endif
    {{"reference", &qlora_product_reference, &qlora_rows_reference}, always},
};

const qlora_kernels *qlora_kernels_for(const char *name) {
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
    if (strcmp(tables[i].kernels.name, name) == 0) {
      return tables[i].available() ? &tables[i].kernels : NULL;
    }
  }
  return NULL;
}

const qlora_kernels *qlora_kernels_select(void) {
  const char *wanted = getenv("QLORA_ISA");
  if (wanted != NULL && wanted[0] != '\0') return qlora_kernels_for(wanted);
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
    if (tables[i].available()) return &tables[i].kernels;
  }
  return NULL;
}
