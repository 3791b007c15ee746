/* LLM.int8's products by `vpdpbusd`: 12 tokens x 32 rows of int32 in 24 registers.
 * Source: Intel, "Intrinsics Guide", AVX512_VNNI. */
#if defined(__x86_64__)
#include "../int16_slots.h"
#include "../int8_slots.h"

#include "simd.h"

enum { MOST_TOKENS = 12 };

/* The instruction takes unsigned activations; what their bias adds, the corrections take away. */
INLINE void product(const int units, long fours, const uint8_t *codes, long stride,
                    const int8_t *band, const int32_t *corrections, int32_t *sums) {
  __m512i totals[MOST_TOKENS][2];
#pragma clang loop unroll(full)
  for (int t = 0; t < units; t++) {
    totals[t][0] = _mm512_loadu_si512(corrections);
    totals[t][1] = _mm512_loadu_si512(corrections + 16);
  }
  for (long four = 0; four < fours; four++, band += 4 * QLORA_INT8_ROWS) {
    const __m512i low = _mm512_loadu_si512(band), high = _mm512_loadu_si512(band + 64);
#pragma clang loop unroll(full)
    for (int t = 0; t < units; t++) {
      int32_t code;
      __builtin_memcpy(&code, codes + t * stride + 4 * four, 4);
      const __m512i values = _mm512_set1_epi32(code);
      totals[t][0] = _mm512_dpbusd_epi32(totals[t][0], values, low);
      totals[t][1] = _mm512_dpbusd_epi32(totals[t][1], values, high);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < units; t++) {
    _mm512_storeu_si512(sums + t * QLORA_INT8_ROWS, totals[t][0]);
    _mm512_storeu_si512(sums + t * QLORA_INT8_ROWS + 16, totals[t][1]);
  }
}

void qlora_int8_product_avx512vnni(long tokens, long fours, const uint8_t *codes, long stride,
                                   const int8_t *band, const int32_t *corrections,
                                   int32_t *sums) {
  while (tokens > 0) {
    const long units = tokens >= 12 ? 12 : tokens >= 8 ? 8 : tokens >= 4 ? 4 : tokens;
    switch (units) {
      case 12: product(12, fours, codes, stride, band, corrections, sums); break;
      case 8: product(8, fours, codes, stride, band, corrections, sums); break;
      case 4: product(4, fours, codes, stride, band, corrections, sums); break;
      case 3: product(3, fours, codes, stride, band, corrections, sums); break;
      case 2: product(2, fours, codes, stride, band, corrections, sums); break;
      default: product(1, fours, codes, stride, band, corrections, sums); break;
    }
    codes += units * stride;
    sums += units * QLORA_INT8_ROWS;
    tokens -= units;
  }
}

#pragma clang attribute pop  // begun by simd.h
#endif
