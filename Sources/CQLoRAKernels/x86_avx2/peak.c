/* The FMA peak: 12 independent chains of 8 lanes, more than latency times throughput. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"

double qlora_peak_avx2(long rounds) {
  __m256 sums[12], factor = _mm256_set1_ps(0.5f);
#pragma clang loop unroll(full)
  for (int j = 0; j < 12; j++) sums[j] = _mm256_set1_ps((float)j);
  for (long i = 0; i < rounds; i++) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 12; j++) {
      sums[j] = _mm256_fmadd_ps(sums[j], factor, factor);
      __asm__ volatile("" : "+x"(sums[j]));
    }
  }
  return 12.0 * 8 * 2 * (double)rounds;
}

#include "end.h"
#endif
