/* Kernels of products and 4-bit weights.
 *
 * Layouts
 *   panel  A weight in groups of 8 rows: `[rows / 8][k][8]`, rows and (4-bit) columns zero padded.
 *   line   64 bytes = 16 columns x 8 rows of 4-bit codes: nibble j of dword lane l is column
 *          2j + (l >= 8), row l % 8.
 *   tile   Activations of up to 48 tokens with tokens innermost, `[k][48]`; lanes past the last
 *          token are zero.
 * Every sum is fp32, in the order of its reduction index, so a result depends on nothing but its
 * inputs and the instruction set. */
#pragma once

#include <stdint.h>

enum { QLORA_PANEL_ROWS = 8, QLORA_TILE_TOKENS = 48, QLORA_LINE_COLUMNS = 16, QLORA_LINE_BYTES = 64,
       QLORA_SMALL_TOKENS = 8 };

typedef struct qlora_product_kernels {
  /* x `[tokens][stride]`, columns 0 ..< k, to out `[k][48]`; tokens <= 48. */
  void (*pack_f32)(long tokens, long k, const float *x, long stride, float *out);
  void (*pack_bf16)(long tokens, long k, const uint16_t *x, long stride, float *out);

  /* c `[8][48]` = (+ itself where `accumulate`) sum over k of w `[k][8]` times x `[k][48]`, in the
   * first 16 * vectors lanes; vectors is 1, 2 or 3. */
  void (*tile)(long k, const float *w, const float *x, float *c, long vectors, int accumulate);

  /* c `[8 columns][48]` = (+ itself) sum over `groups` groups of 8 rows: group g's 8 columns are
   * the 64 floats at w + g * group_stride, its activations x `[8 * groups][48]`. */
  void (*tile_transposed)(long groups, const float *w, long group_stride, const float *x, float *c,
                          long vectors, int accumulate);

  /* c `[rows][48]` transposed to out `[tokens][stride]`, plus bias `[rows]` unless NULL, plus out
   * itself where `accumulate`; bf16 rounds to nearest even. */
  void (*unpack_f32)(long tokens, long rows, const float *c, const float *bias, float *out,
                     long stride, int accumulate);
  void (*unpack_bf16)(long tokens, long rows, const float *c, const float *bias, uint16_t *out,
                      long stride);

  /* `lines` lines of one group to out `[16 * lines][8]`: table[code] * scale, where line i uses
   * scales[(first_line + i) / lines_per_block] `[blocks][8]`. */
  void (*decode_lines)(long lines, const uint8_t *codes, const float *table, const float *scales,
                       long first_line, long lines_per_block, float *out);
  /* bf16 to fp32. */
  void (*widen_bf16)(long count, const uint16_t *values, float *out);
  /* out[i] = map[codes[i]] * absmax[(first + i) / 256] + offset, rounded after each operation. */
  void (*decode_scales)(long count, long first, const uint8_t *codes, const float *map,
                        const float *absmax, float offset, float *out);

  /* Few tokens (1 ... 8): out `[tokens][8]` = x `[tokens][stride]` times one group of weights.
   * `x` has 16 * lines (4-bit) or k (dense) columns. */
  void (*few_lines)(long tokens, long lines, const uint8_t *codes, const float *table,
                    const float *scales, long lines_per_block, const float *x, long stride,
                    float *out);
  void (*few_f32)(long tokens, long k, const float *w, const float *x, long stride, float *out);
  void (*few_bf16)(long tokens, long k, const uint16_t *w, const float *x, long stride, float *out);

  /* The largest |x|; not finite where an element is not. */
  float (*absmax)(long count, const float *x);
  /* codes[i] = how many of the 15 ascending thresholds lie strictly below x[i] * factor, or
   * x[i] / factor where `divide`. */
  void (*encode)(long count, const float *x, float factor, int divide, const float *thresholds,
                 uint8_t *codes);
  /* `count` times 16 codes of one row, one per byte, or-ed into that row's two dwords of as many
   * lines; `lines` is the row's dword in the first one. */
  void (*insert_codes)(long count, const uint8_t *codes, uint32_t *lines);

  /* Down the columns of a tile of logits c `[rows][48]`: per lane the largest and the lowest row
   * that has it; the sum of exp(c - shift[lane]); and c = exp(c - shift[lane]) in place. */
  void (*lane_max)(long rows, const float *c, float *largest, int32_t *row);
  void (*lane_exp_sum)(long rows, const float *c, const float *shift, float *sum);
  void (*lane_exp)(long rows, float *c, const float *shift);
  /* Of capped logits: c = cap·tanh(c / cap) for any count of them, and, down the lanes of a tile,
   * exp(c - shift[lane])·(1 - (c / cap)²), the gradient of what was capped. */
  void (*cap)(long count, float *c, float cap);
  void (*lane_exp_capped)(long rows, float *c, const float *shift, float cap);

  /* 1 ... 8 rows `[rows][stride]` to a group `[k][8]`, zero padded. */
  void (*panel_f32)(long rows, long k, const float *w, long stride, float *out);

  /* out[i] = in[i] * m(first + i), m = 1 / (1 - rate) where kept, else 0; may be in place.
   * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10). */
  void (*dropout)(long count, uint64_t first, float rate, uint64_t key, uint64_t stream,
                  const float *in, float *out);

  /* Multiplies and adds in registers only, `rounds` times; returns how many floating-point
   * operations that were. The yardstick of benchmarks. */
  double (*peak)(long rounds);
} qlora_product_kernels;

extern const qlora_product_kernels qlora_product_reference;
#if defined(__x86_64__)
extern const qlora_product_kernels qlora_product_avx2;
extern const qlora_product_kernels qlora_product_avx512;
#elif defined(__aarch64__)
extern const qlora_product_kernels qlora_product_neon;
#endif
