// Attention in NEON: the code of vector/ over this folder's primitives.
#if defined(__aarch64__)
#include <math.h>

#include "../reference/element.h"

#include "simd.h"
#include "tile.h"
#include "transpose.h"

#include "../vector/attention.h"
#include "../vector/attention_backward.h"
#include "../vector/attention_row.h"
#endif
