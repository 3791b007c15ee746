/* The FMA peak: 24 independent chains of 16 lanes, more than latency times throughput. */
#if defined(__x86_64__)
#include "../product_slots.h"

#include "begin.h"

double qlora_peak_avx512(long rounds) {
  __m512 sums[24], factor = _mm512_set1_ps(0.5f);
#pragma clang loop unroll(full)
  for (int j = 0; j < 24; j++) sums[j] = _mm512_set1_ps((float)j);
  for (long i = 0; i < rounds; i++) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 24; j++) {
      sums[j] = _mm512_fmadd_ps(sums[j], factor, factor);
      __asm__ volatile("" : "+v"(sums[j]));
    }
  }
  return 24.0 * 16 * 2 * (double)rounds;
}

#include "end.h"
#endif
