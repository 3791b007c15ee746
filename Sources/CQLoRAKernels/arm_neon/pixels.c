// Kernels of image models in NEON: the code of vector/ over this folder's primitives.
#if defined(__aarch64__)
#include <math.h>

#include "../reference/element.h"

#include "simd.h"

#include "../vector/pixels.h"
#endif
