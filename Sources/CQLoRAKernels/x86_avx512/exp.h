/* exp of 16 floats within 2 ULP; include between `begin.h` and `end.h`. */
#pragma once

/* exp(x) = 2^n exp(r), n = round(x / ln 2), ln 2 in two parts so that r is exact to the last bit;
 * a degree-6 polynomial for exp(r) on |r| <= ln 2 / 2. Below -103.98 the result is 0, above 88.73
 * infinity. Source: Cody & Waite 1980, "Software Manual for the Elementary Functions". */
QLORA_INLINE __m512 qlora_exp(__m512 x) {
  x = _mm512_min_ps(_mm512_set1_ps(100.0f), _mm512_max_ps(_mm512_set1_ps(-110.0f), x));
  __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p0f)),
                                  _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
  __m512 p = _mm512_set1_ps(0x1.6850e4p-10f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.123bccp-7f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.555b98p-5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.55548ep-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.fffff8p-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}
