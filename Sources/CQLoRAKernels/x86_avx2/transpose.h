// Transposition of float matrices in blocks of 8 × 8; AVX-512 uses it too, because the shuffles
// are few beside the products that they feed.
#pragma once
#include <immintrin.h>
#include <stdint.h>

INLINE void transpose_block(const float *x, long ldx, float *out, long ldout) {
  __m256 a[8], b[8];
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(x + i * ldx);
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 4) {
    a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
    a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xEE);
    a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xEE);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps(out + i * ldout, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * ldout, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  }
}

/// x `[rows][columns]` to out `[columns][rows]`; both extents are multiples of 8.
INLINE void transpose(long rows, long columns, const float *x, long ldx, float *out,
                      long ldout) {
  for (long row = 0; row < rows; row += 8) {
    for (long column = 0; column < columns; column += 8) {
      transpose_block(x + row * ldx + column, ldx, out + column * ldout + row, ldout);
    }
  }
}
