// Kernels of image models in AVX-512: the code of vector/ over this folder's primitives.
#if defined(__x86_64__)
#include <math.h>

#include "../reference/element.h"

#include "simd.h"

#include "../vector/pixels.h"
#pragma clang attribute pop  // begun by simd.h
#endif
