/* Compiles what follows for AVX-512 (F, BW, DQ, VL) whatever the command line says; `end.h` ends
 * it. Both are included once by every file of this folder. */
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,avx2,f16c"))), \
    apply_to = function)

#define QLORA_INLINE static inline __attribute__((always_inline, unused))
