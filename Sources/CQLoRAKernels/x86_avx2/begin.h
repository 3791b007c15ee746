/* Compiles what follows for AVX2 with FMA and F16C whatever the command line says; `end.h` ends it.
 * Both are included once by every product file of this folder. */
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define QLORA_INLINE static inline __attribute__((always_inline, unused))
