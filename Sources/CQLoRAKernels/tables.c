/* Picks the table of kernels for this CPU. */
/* For syscall. */
#define _DEFAULT_SOURCE
#include "qlora_kernels.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

static int has_avx512bf16(void) {
  return has_avx512() && __builtin_cpu_supports("avx512bf16");
}

/* A dot product of bf16 takes AMD's processors no longer than a multiply-add, which does half of
 * it. It takes Intel's four times as long, and those that are new have a matrix unit. */
static int prefers_avx512bf16(void) { return has_avx512bf16() && __builtin_cpu_is("amd"); }

static int has_amx(void) {
  if (!has_avx512bf16() || !__builtin_cpu_supports("amx-tile") ||
      !__builtin_cpu_supports("amx-bf16")) {
    return 0;
  }
#if defined(__linux__)
  /* The kernel gives a process the tiles' 8 KiB of state only on request. */
  enum { request_permission = 0x1023, tile_data = 18 };
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return 0;
#endif
}
#endif

/* Best first. */
static const struct {
  qlora_kernels kernels;
  int (*available)(void);
  /* Whether it is faster than what follows. */
  int (*preferred)(void);
} tables[] = {
#if defined(__x86_64__)
    {{"amx", &qlora_product_avx512, &qlora_rows_amx, &qlora_matrix_amx}, has_amx, has_amx},
    {{"avx512bf16", &qlora_product_avx512, &qlora_rows_avx512bf16, &qlora_matrix_avx512bf16},
     has_avx512bf16, prefers_avx512bf16},
    {{"avx512", &qlora_product_avx512, &qlora_rows_avx512, NULL}, has_avx512, has_avx512},
    {{"avx2", &qlora_product_avx2, &qlora_rows_avx2, NULL}, has_avx2, has_avx2},
#elif defined(__aarch64__)
    {{"neon", &qlora_product_neon, &qlora_rows_neon, NULL}, always, always},
#endif
    {{"reference", &qlora_product_reference, &qlora_rows_reference, &qlora_matrix_reference},
     always, always},
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
    if (tables[i].preferred()) return &tables[i].kernels;
  }
  return NULL;
}
