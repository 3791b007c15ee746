/* Compiles what follows for AMX with bf16, too; otherwise as ../x86_avx512bf16/begin.h. */
#define SIMD_TARGET \
  "amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,avx2,f16c"
#define UNIT amx
#include "../x86_avx512bf16/begin.h"
