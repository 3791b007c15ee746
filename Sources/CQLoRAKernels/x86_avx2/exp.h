/* exp of 8 floats within 2 ULP; include between `begin.h` and `end.h`. */
#pragma once

/* As in x86_avx512/exp.h; 2^n in two factors, because 2^128 alone is no float. */
QLORA_INLINE __m256 qlora_exp(__m256 x) {
  x = _mm256_min_ps(_mm256_set1_ps(100.0f), _mm256_max_ps(_mm256_set1_ps(-110.0f), x));
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p0f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
  __m256 p = _mm256_set1_ps(0x1.6850e4p-10f);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.123bccp-7f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555b98p-5f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.55548ep-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.fffff8p-2f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  const __m256i rest = _mm256_sub_epi32(whole, half), one = _mm256_set1_epi32(127);
  p = _mm256_mul_ps(
      p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, one), 23)));
  return _mm256_mul_ps(
      p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, one), 23)));
}
