// What the vector kernels share on every instruction set: loads and stores of any element type and
// length, the exponential, and loops with tails. Included after the instruction set's simd.h, which
// defines ISA, LANES, INLINE, `vec` and the `vec_…` primitives.
#pragma once
#include "../reference/element.h"

#define F32 qlora_element_f32
#define BF16 qlora_element_bf16
#define F16 qlora_element_f16

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
/// The public name of a kernel, such as `qlora_add_avx2`.
#define KERNEL(op) JOIN(qlora_##op, ISA)

/// Runs `step` for vectors at `i` of `n` elements that cover `0 ..< count`; `n` is the constant
/// LANES in all but the last.
#define EACH_VECTOR(count, step)                                 \
  do {                                                           \
    long i = 0;                                               \
    for (; i + LANES <= (count); i += LANES) {                   \
      enum { n = LANES };                                        \
      step;                                                      \
    }                                                            \
    if (i < (count)) {                                           \
      const long n = (count) - i;                             \
      step;                                                      \
    }                                                            \
  } while (0)

INLINE vec load_whole(qlora_element type, const void *x, long i) {
  if (type == F32) return vec_load((const float *)x + i);
  if (type == BF16) return vec_load_bf16((const uint16_t *)x + i);
  return vec_load_f16((const uint16_t *)x + i);
}

INLINE void store_whole(qlora_element type, void *x, long i, vec value) {
  if (type == F32) vec_store((float *)x + i, value);
  else if (type == BF16) vec_store_bf16((uint16_t *)x + i, value);
  else vec_store_f16((uint16_t *)x + i, value);
}

/// Elements `i ..< i + n`, and zeros in the lanes past them.
INLINE vec load(qlora_element type, const void *x, long i, long n) {
  if (n == LANES) return load_whole(type, x, i);
  float lanes[LANES] = {0};
  memcpy(lanes, element_at(type, x, i), (size_t)n * (type == F32 ? 4 : 2));
  return load_whole(type, lanes, 0);
}

/// Writes elements `i ..< i + n` and no byte past them.
INLINE void store(qlora_element type, void *x, long i, long n, vec value) {
  if (n == LANES) {
    store_whole(type, x, i, value);
    return;
  }
  float lanes[LANES];
  store_whole(type, lanes, 0, value);
  memcpy((void *)element_at(type, x, i), lanes, (size_t)n * (type == F32 ? 4 : 2));
}

/// e^x within 1.1 ulp; exactly 0 below −87.336, where results would be subnormal; NaN stays NaN.
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, and e^r = 1 + r + r²·p(r), where p is a minimax polynomial
/// of degree 4 fitted for the relative error of e^r.
INLINE vec vec_exp(vec x) {
  const vec lowest = vec_set(-87.33654f);
  const vec bounded = vec_min(vec_set(89.5f), vec_max(vec_set(-88.0f), x));
  const vec n = vec_round(vec_mul(bounded, vec_set(0x1.715476p0f)));
  // ln 2 in two parts: the first has 9 bits, so that its product with n is exact.
  vec r = vec_fnma(n, vec_set(0x1.63p-1f), bounded);
  r = vec_fnma(n, vec_set(-0x1.bd0106p-13f), r);
  vec p = vec_set(0x1.6a23dcp-10f);
  p = vec_fma(p, r, vec_set(0x1.123a1ep-7f));
  p = vec_fma(p, r, vec_set(0x1.5558f2p-5f));
  p = vec_fma(p, r, vec_set(0x1.555492p-3f));
  p = vec_fma(p, r, vec_set(0x1.fffffcp-2f));
  p = vec_fma(p, vec_mul(r, r), r);
  return vec_if_less(x, lowest, vec_set(0), vec_scale2(vec_add(p, vec_set(1)), n));
}

/// tanh x within 2 ulp below 1/4 and 1e-7 above: there (1 − t) / (1 + t) with t = e^−2|x|, below the
/// series to x^11.
INLINE vec vec_tanh(vec x) {
  const vec zero = vec_set(0), one = vec_set(1), negative = vec_sub(zero, x);
  const vec size = vec_max(x, negative), square = vec_mul(x, x);
  vec p = vec_fma(vec_set(-1382.0f / 155925), square, vec_set(62.0f / 2835));
  p = vec_fma(p, square, vec_set(-17.0f / 315));
  p = vec_fma(p, square, vec_set(2.0f / 15));
  p = vec_fma(p, square, vec_set(-1.0f / 3));
  const vec series = vec_fma(vec_mul(p, square), x, x);
  const vec t = vec_exp(vec_mul(size, vec_set(-2)));
  const vec large = vec_div(vec_sub(one, t), vec_add(one, t));
  const vec signed_large = vec_if_less(x, zero, vec_sub(zero, large), large);
  return vec_if_less(size, vec_set(0.25f), series, signed_large);
}

/// 1 / (1 + e^−x).
INLINE vec vec_sigmoid(vec x) {
  return vec_div(vec_set(1), vec_add(vec_set(1), vec_exp(vec_sub(vec_set(0), x))));
}
