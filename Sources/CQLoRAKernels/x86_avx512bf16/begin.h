/* Compiles what follows for AVX-512 with bf16, or what the including file says, whatever the
 * command line does; `end.h` ends it. Both are included once by every file of this folder. */
#include <immintrin.h>

#ifndef SIMD_TARGET
#define SIMD_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,avx2,f16c"
#endif
#include "../x86_avx512/simd.h"

#include "../vector/vector.h"

#define QLORA_INLINE INLINE __attribute__((unused))

/* What computes bf16 products for the code that is written once for all that do. */
#ifndef UNIT
#define UNIT avx512bf16
#endif
#define UNIT_KERNEL(op) JOIN(qlora_##op, UNIT)

/* The first `count` of 16 or 32 lanes. */
QLORA_INLINE __mmask16 first16(long count) {
  return count >= 16 ? 0xFFFF : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

QLORA_INLINE __mmask32 first32(long count) {
  return count >= 32 ? 0xFFFFFFFF : count <= 0 ? 0 : (__mmask32)((1u << count) - 1);
}

/* Two vectors of fp32 to 32 bf16, `low` first; nearest, ties to even, subnormals to zero. */
QLORA_INLINE __m512i narrow(__m512 low, __m512 high) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Two tokens of 16 columns, one after the other, to pairs. */
QLORA_INLINE __m512i interleaved(__m512i tokens) {
  const __m512i order = _mm512_set_epi16(
      31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
      23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, tokens);
}
