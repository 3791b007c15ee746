// Rows of a small dense weight to a panel by 8 × 8 transposes; AVX-512 uses it too.
#if defined(__x86_64__)
#include "../product_slots.h"

#include "simd.h"
#include "transpose.h"

void qlora_panel_f32_avx2(long rows, long k, const float *w, long stride, float *out) {
  const long whole = rows == 8 ? k / 8 * 8 : 0;
  transpose(8, whole, w, stride, out, 8);
  qlora_panel_f32_reference(rows, k - whole, w + whole, stride, out + whole * 8);
}
#pragma clang attribute pop  // begun by simd.h
#endif
