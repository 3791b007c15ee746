// The softmax of the output head in AVX-512: the code of vector/ over this folder's primitives.
#if defined(__x86_64__)
#include "simd.h"

#include "../vector/softmax.h"
#pragma clang attribute pop  // begun by simd.h
#endif
