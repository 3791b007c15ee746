/* 4-bit lines by one 64-byte table look-up per four codes, and bf16, in NEON. */
#if defined(__aarch64__)
#include "../product_slots.h"

#include "simd.h"

void qlora_decode_lines_neon(long lines, const uint8_t *codes, const float *table,
                             const float *scales, long first_line, long lines_per_block,
                             float *out) {
  const uint8x16x4_t values = vld1q_u8_x4((const uint8_t *)table);
  /* A code c selects bytes 4c ... 4c + 3 of the table. */
  const uint32x4_t bytes = vdupq_n_u32(0x03020100);
  for (long i = 0; i < lines; i++) {
    const float *scale = scales + (first_line + i) / lines_per_block * 8;
    const float32x4_t low = vld1q_f32(scale), high = vld1q_f32(scale + 4);
    uint32x4_t words[4];
    for (int q = 0; q < 4; q++) {
      words[q] = vreinterpretq_u32_u8(vld1q_u8(codes + i * 64 + q * 16));
    }
    for (int j = 0; j < 8; j++) {
      for (int q = 0; q < 4; q++) {
        const uint32x4_t code = vandq_u32(words[q], vdupq_n_u32(15));
        const uint32x4_t index = vmlaq_n_u32(bytes, code, 0x04040404);
        const uint8x16_t value = vqtbl4q_u8(values, vreinterpretq_u8_u32(index));
        vst1q_f32(out + i * 128 + j * 16 + q * 4,
                  vmulq_f32(vreinterpretq_f32_u8(value), q % 2 ? high : low));
        words[q] = vshrq_n_u32(words[q], 4);
      }
    }
  }
}

void qlora_widen_bf16_neon(long count, const uint16_t *values, float *out) {
  const long whole = count / 4 * 4;
  for (long i = 0; i < whole; i += 4) vec_store(out + i, vec_load_bf16(values + i));
  qlora_widen_bf16_reference(count - whole, values + whole, out + whole);
}
#endif
