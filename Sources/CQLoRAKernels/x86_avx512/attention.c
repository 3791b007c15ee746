// Attention in AVX-512: the code of vector/ over this folder's primitives.
#if defined(__x86_64__)
#include <math.h>

#include "../reference/element.h"

#include "simd.h"
#include "tile.h"
#include "../x86_avx2/transpose.h"

#include "../vector/attention.h"
#include "../vector/attention_backward.h"
#include "../vector/attention_row.h"
#pragma clang attribute pop  // begun by simd.h
#endif
