// Attention of bf16 rows with dot products of pairs in AVX-512.
#if defined(__x86_64__)
#include "begin.h"

#include "attention.h"

#include "end.h"
#endif
