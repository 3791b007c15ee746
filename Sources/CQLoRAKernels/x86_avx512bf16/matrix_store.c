/* Sums of bf16 products to rows of the output. */
#if defined(__x86_64__)
#include "../matrix_slots.h"

#include "begin.h"

QLORA_INLINE __m512 biased(const float *c, const float *bias, long n, __mmask16 mask) {
  const __m512 value = _mm512_maskz_loadu_ps(mask, c + n);
  return bias ? _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, bias + n)) : value;
}

void qlora_matrix_store_f32_avx512bf16(long rows, long columns, const float *c, long c_stride,
                                       const float *bias, float *out, long stride, int accumulate) {
  for (long row = 0; row < rows; row++, c += c_stride, out += stride) {
    for (long n = 0; n < columns; n += 16) {
      const __mmask16 mask = first16(columns - n);
      __m512 value = biased(c, bias, n, mask);
      if (accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, out + n));
      _mm512_mask_storeu_ps(out + n, mask, value);
    }
  }
}

void qlora_matrix_store_bf16_avx512bf16(long rows, long columns, const float *c, long c_stride,
                                        const float *bias, uint16_t *out, long stride) {
  for (long row = 0; row < rows; row++, c += c_stride, out += stride) {
    for (long n = 0; n < columns; n += 32) {
      const __m512 low = biased(c, bias, n, first16(columns - n));
      const __m512 high = biased(c, bias, n + 16, first16(columns - n - 16));
      _mm512_mask_storeu_epi16(out + n, first32(columns - n), narrow(low, high));
    }
  }
}

#include "end.h"
#endif
