// Row kernels in AVX2: the code of vector/ over this folder's primitives.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

#include "../reference/element.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "simd.h"

#include "../vector/rows.h"
#pragma clang attribute pop
#endif
