/* The 16-entry table look-up of AVX2; include between `begin.h` and `end.h`. */
#pragma once

/* Both halves of a 16-entry table. */
typedef struct { __m256 low, high; } table16;

QLORA_INLINE table16 table_of(const float *values) {
  return (table16){_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8)};
}

/* The entries of the nibbles j of eight dwords: the permute looks at three bits, and the fourth,
 * moved to the sign, chooses the half. */
QLORA_INLINE __m256 entries(table16 table, __m256i line, const int j) {
  const __m256i index = _mm256_srli_epi32(line, 4 * j);
  const __m256 half = _mm256_castsi256_ps(_mm256_slli_epi32(line, 28 - 4 * j));
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, index),
                          _mm256_permutevar8x32_ps(table.high, index), half);
}
