// The softmax of the output head in NEON: the code of vector/ over this folder's primitives.
#if defined(__aarch64__)
#include "simd.h"

#include "../vector/softmax.h"
#endif
