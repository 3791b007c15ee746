// The vector primitives in NEON: four floats at a time. Every AArch64 processor has them.
#pragma once
#include <arm_neon.h>
#include <stdint.h>

#define ISA neon
#define LANES 4
#define INLINE static inline __attribute__((always_inline, unused))

typedef float32x4_t vec;

INLINE vec vec_load(const float *x) { return vld1q_f32(x); }
INLINE void vec_store(float *x, vec a) { vst1q_f32(x, a); }
INLINE vec vec_set(float a) { return vdupq_n_f32(a); }
INLINE vec vec_add(vec a, vec b) { return vaddq_f32(a, b); }
INLINE vec vec_sub(vec a, vec b) { return vsubq_f32(a, b); }
INLINE vec vec_mul(vec a, vec b) { return vmulq_f32(a, b); }
INLINE vec vec_div(vec a, vec b) { return vdivq_f32(a, b); }
INLINE vec vec_sqrt(vec a) { return vsqrtq_f32(a); }
/// a·b + c and c − a·b, rounded once.
INLINE vec vec_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
INLINE vec vec_fnma(vec a, vec b, vec c) { return vfmsq_f32(c, a, b); }
/// Where one operand is NaN, the second is taken.
INLINE vec vec_max(vec a, vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE vec vec_min(vec a, vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
INLINE vec vec_round(vec a) { return vrndnq_f32(a); }

/// 2^n for integral n in −126 ... 127.
INLINE vec vec_power2(int32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

/// a · 2^n for integral n in −252 ... 254: two factors, because 2^128 alone is no float.
INLINE vec vec_scale2(vec a, vec n) {
  const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
  return vec_mul(vec_mul(a, vec_power2(half)), vec_power2(vsubq_s32(whole, half)));
}

/// a < b ? yes : no, lane by lane.
INLINE vec vec_if_less(vec a, vec b, vec yes, vec no) {
  return vbslq_f32(vcltq_f32(a, b), yes, no);
}

INLINE float vec_sum(vec a) { return vaddvq_f32(a); }

INLINE vec vec_load_bf16(const uint16_t *x) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(x), 16));
}

INLINE void vec_store_bf16(uint16_t *x, vec a) {
  const uint32x4_t bits = vreinterpretq_u32_f32(a);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t sum = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), odd);
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  vst1_u16(x, vshrn_n_u32(vbslq_u32(vceqq_f32(a, a), sum, quiet), 16));
}

INLINE vec vec_load_f16(const uint16_t *x) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x)));
}

INLINE void vec_store_f16(uint16_t *x, vec a) {
  vst1_u16(x, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}
