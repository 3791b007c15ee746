// The gradient of attention of bf16 rows on the matrix unit.
#if defined(__x86_64__)
#include "begin.h"

#include "../x86_avx512bf16/attention_backward.h"

#include "../x86_avx512bf16/end.h"
#endif
