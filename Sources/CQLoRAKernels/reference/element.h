// One element at a time: widening loads and rounding stores of the three float types. The scalar
// twin of what each instruction set's simd.h does for whole vectors.
#pragma once
#include <string.h>

#include "../include/qlora_kernels_rows.h"

static inline float float_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t bits_from_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline uint16_t bf16_from_float(float value) {
  const uint32_t bits = bits_from_float(value);
  if (value != value) return (uint16_t)(bits >> 16 | 0x40);  // a NaN stays one
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float float_from_f16(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7FFF;
  if (magnitude >= 0x7C00) {  // infinities and NaNs; NaNs become quiet, as the hardware's do
    return float_from_bits(sign | 0x7F800000 | (magnitude & 0x3FF) << 13
                           | (magnitude > 0x7C00 ? 0x400000 : 0));
  }
  // Scaling by 2^112 moves the exponent's bias from 15 to 127 and is exact for subnormals too.
  return float_from_bits(sign | bits_from_float(float_from_bits(magnitude << 13) * 0x1p112f));
}

static inline uint16_t f16_from_float(float value) {
  const uint32_t bits = bits_from_float(value), magnitude = bits & 0x7FFFFFFF;
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x1FF));
  if (magnitude >= 0x477FF000) return sign | 0x7C00;  // 65520 and more round to infinity
  if (magnitude < 0x38800000) {  // below 2^-14: adding 1/2 leaves the rounded subnormal's bits
    const float shifted = float_from_bits(magnitude) + 0.5f;
    return (uint16_t)(sign | (bits_from_float(shifted) - 0x3F000000));
  }
  return (uint16_t)(sign | (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13);
}

static inline float element_load(qlora_element type, const void *x, long index) {
  switch (type) {
    case qlora_element_f32: return ((const float *)x)[index];
    case qlora_element_bf16: return float_from_bits((uint32_t)((const uint16_t *)x)[index] << 16);
    case qlora_element_f16: return float_from_f16(((const uint16_t *)x)[index]);
  }
  return 0;
}

static inline void element_store(qlora_element type, void *x, long index, float value) {
  switch (type) {
    case qlora_element_f32: ((float *)x)[index] = value; break;
    case qlora_element_bf16: ((uint16_t *)x)[index] = bf16_from_float(value); break;
    case qlora_element_f16: ((uint16_t *)x)[index] = f16_from_float(value); break;
  }
}

/// The address of an element.
static inline const void *element_at(qlora_element type, const void *x, long index) {
  return (const char *)x + index * (type == qlora_element_f32 ? 4 : 2);
}
