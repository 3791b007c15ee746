/* Strips and halves of bf16 products: roundings and shuffles in AVX-512. */
#if defined(__x86_64__)
#include "../matrix_slots.h"

#include "begin.h"

void qlora_strip_f32_avx512bf16(long rows, long k, const float *x, long stride, uint16_t *out) {
  for (long row = 0; row < QLORA_STRIP_ROWS; row++) {
    const float *from = x + (row < rows ? row : 0) * stride;
    for (long i = 0; i < k; i += QLORA_STEP) {
      const long count = row < rows ? k - i : 0;
      const __m512 low = _mm512_maskz_loadu_ps(first16(count), from + i);
      const __m512 high = _mm512_maskz_loadu_ps(first16(count - 16), from + i + 16);
      _mm512_storeu_si512(out + i * QLORA_STRIP_ROWS + row * QLORA_STEP_ROW, narrow(low, high));
    }
  }
}

void qlora_strip_bf16_avx512bf16(long rows, long k, const uint16_t *x, long stride, uint16_t *out) {
  for (long row = 0; row < QLORA_STRIP_ROWS; row++) {
    const uint16_t *from = x + (row < rows ? row : 0) * stride;
    for (long i = 0; i < k; i += QLORA_STEP) {
      const __mmask32 mask = first32(row < rows ? k - i : 0);
      _mm512_storeu_si512(out + i * QLORA_STRIP_ROWS + row * QLORA_STEP_ROW,
                          _mm512_maskz_loadu_epi16(mask, from + i));
    }
  }
}

void qlora_planes_bf16_avx512bf16(long pixels, long channels, const uint16_t *x, long repeats,
                                  uint16_t *out, long plane_stride) {
  for (long pixel = 0; pixel < pixels; pixel++) {
    for (long i = 0; i < channels; i += 32, x += 32) {
      const __m512i values = _mm512_loadu_si512(x);
      uint16_t *place = out + i / 32 * plane_stride + pixel * repeats * 32;
      for (long r = 0; r < repeats; r++) _mm512_storeu_si512(place + r * 32, values);
    }
  }
}

void qlora_half_of_rows_avx512bf16(long k, const float *first, const float *second, uint16_t *out) {
  /* Words (column q, row r) of two groups at 16 * group + 8 * q + r, wanted at 2 * row + q. */
  const __m512i order = _mm512_set_epi16(
      31, 23, 30, 22, 29, 21, 28, 20, 27, 19, 26, 18, 25, 17, 24, 16,
      15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0);
  for (long pair = 0; pair < qlora_steps(k) * 16; pair++) {
    const __mmask16 mask = first16((k - 2 * pair) * 8);
    const __m512 low = _mm512_maskz_loadu_ps(mask, first + pair * 16);
    const __m512 high = _mm512_maskz_loadu_ps(mask, second + pair * 16);
    _mm512_storeu_si512(
        out + pair / 16 * QLORA_STEP_ELEMENTS + pair % 16 * 32,
        _mm512_permutexvar_epi16(order, narrow(low, high)));
  }
}

/* Eight rows of 16 columns: 4 pairs of rows, each a vector of 16 columns. */
QLORA_INLINE void four_pairs(const float *panel, uint16_t *out) {
  /* Vector v holds columns 4v ... 4v + 3, the dwords of a column being its 4 pairs. */
  __m512i columns[4];
#pragma clang loop unroll(full)
  for (int v = 0; v < 4; v++) {
    columns[v] =
        narrow(_mm512_loadu_ps(panel + v * 32), _mm512_loadu_ps(panel + v * 32 + 16));
  }
  const __m512i lower = _mm512_set_epi32(29, 25, 21, 17, 13, 9, 5, 1, 28, 24, 20, 16, 12, 8, 4, 0);
  const __m512i upper = _mm512_add_epi32(lower, _mm512_set1_epi32(2));
  const __m512i left01 = _mm512_permutex2var_epi32(columns[0], lower, columns[1]);
  const __m512i left23 = _mm512_permutex2var_epi32(columns[0], upper, columns[1]);
  const __m512i right01 = _mm512_permutex2var_epi32(columns[2], lower, columns[3]);
  const __m512i right23 = _mm512_permutex2var_epi32(columns[2], upper, columns[3]);
  _mm512_storeu_si512(out, _mm512_shuffle_i64x2(left01, right01, 0x44));
  _mm512_storeu_si512(out + 32, _mm512_shuffle_i64x2(left01, right01, 0xEE));
  _mm512_storeu_si512(out + 64, _mm512_shuffle_i64x2(left23, right23, 0x44));
  _mm512_storeu_si512(out + 96, _mm512_shuffle_i64x2(left23, right23, 0xEE));
}

void qlora_half_of_columns_avx512bf16(long groups, const float *panel, long group_stride,
                                      uint16_t *out) {
  for (long group = 0; group < groups; group++) {
    four_pairs(panel + group * group_stride,
               out + group / 4 * QLORA_STEP_ELEMENTS + group % 4 * 128);
  }
  for (long group = groups; group % 4 != 0; group++) {
    uint16_t *place = out + group / 4 * QLORA_STEP_ELEMENTS + group % 4 * 128;
    for (long i = 0; i < 4; i++) _mm512_storeu_si512(place + i * 32, _mm512_setzero_si512());
  }
}

void qlora_half_of_tokens_f32_avx512bf16(long tokens, long columns, const float *x, long stride,
                                         uint16_t *out) {
  for (long token = 0; token < qlora_steps(tokens) * QLORA_STEP; token += 2) {
    const float *from = x + (token < tokens ? token : 0) * stride;
    const __mmask16 mask = first16(token < tokens ? columns : 0);
    const __mmask16 next = token + 1 < tokens ? mask : 0;
    const __m512 low = _mm512_maskz_loadu_ps(mask, from);
    const __m512 high = _mm512_maskz_loadu_ps(next, from + (next ? stride : 0));
    _mm512_storeu_si512(out + token / 32 * QLORA_STEP_ELEMENTS + token % 32 * 16,
                        interleaved(narrow(low, high)));
  }
}

void qlora_half_of_tokens_bf16_avx512bf16(long tokens, long columns, const uint16_t *x, long stride,
                                          uint16_t *out) {
  for (long token = 0; token < qlora_steps(tokens) * QLORA_STEP; token += 2) {
    const uint16_t *from = x + (token < tokens ? token : 0) * stride;
    const __mmask16 mask = first16(token < tokens ? columns : 0);
    const __mmask16 next = token + 1 < tokens ? mask : 0;
    const __m256i low = _mm256_maskz_loadu_epi16(mask, from);
    const __m256i high = _mm256_maskz_loadu_epi16(next, from + (next ? stride : 0));
    _mm512_storeu_si512(out + token / 32 * QLORA_STEP_ELEMENTS + token % 32 * 16,
                        interleaved(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)));
  }
}

void qlora_residual_avx512bf16(long count, const float *x, float *out) {
  for (long i = 0; i < count; i += 16) {
    const __mmask16 mask = first16(count - i);
    const __m512 value = _mm512_maskz_loadu_ps(mask, x + i);
    const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(value);
    const __m512 back =
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16));
    _mm512_mask_storeu_ps(out + i, mask, _mm512_sub_ps(value, back));
  }
}

#include "end.h"
#endif
