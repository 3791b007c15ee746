/* Kernels of products in 16-bit integers: sums of a segment are exact in int32, and leave it as
 * fp32 times the scales of their row and their lane.
 *
 * Layouts, each in pairs of steps of the reduction, as dot-product instructions read them
 *   codes    weights `[k / 2][8][2]`, at most QLORA_INT16_WEIGHT in magnitude
 *   lanes    activations of 48 tokens `[k / 2][48][2]`, at most QLORA_INT16_LANE in magnitude
 *   scales   of lanes `[segments][48]`, of rows `[segments][8]`
 * A segment is an even number of steps, at most QLORA_INT16_SEGMENT; the last one may be shorter.
 * Sums are exact, and every rounding stands in the contract: all instruction sets give the same
 * bits. */
#pragma once

#include "qlora_kernels_product.h"

/* 64 * 4095 * 8191 = 2,146,697,280, the largest sum of a segment, is just below 2^31. One bit more
 * for lanes and one less for weights would fit too; Docs/Benchmarks/int16.md has their errors. */
enum { QLORA_INT16_SEGMENT = 64, QLORA_INT16_WEIGHT = 4095, QLORA_INT16_LANE = 8191 };

typedef struct qlora_int16_kernels {
  /* "reference" or "avx512vnni". */
  const char *name;

  /* x `[k][48]`, times factors `[k]` unless NULL, to lanes: nearest of value * (8191 / largest),
   * ties to even, where `largest` is that of the segment's lane; its scale is largest * unit. Where
   * it is below 2^-100 all is zero; where it is no number or infinite the scale is NaN. k is even;
   * the first 16 * vectors lanes are written. */
  void (*quantize)(long k, long segment, const float *x, const float *factors, float unit,
                   int16_t *lanes, float *scales, long vectors);

  /* c `[8][48]` = (+ itself where `accumulate`) per segment, in their order and with the last two
   * operations fused: float(sum of codes * lanes) * row scale * lane scale + c. Row scales of
   * successive segments lie row_stride floats apart, 8 or 0. */
  void (*tile)(long k, long segment, const int16_t *codes, const float *row_scales,
               long row_stride, const int16_t *lanes, const float *lane_scales, float *c,
               long vectors, int accumulate);

  /* `lines` lines of 4-bit codes of one group to codes for x * W^T, `[8 * lines][8][2]` with pairs
   * of columns: table[code]. */
  void (*decode_rows)(long lines, const uint8_t *lines_of_codes, const int16_t *table,
                      int16_t *codes);

  /* The same to codes for dY * W, with pairs of rows: the four pairs of columns 8 j ... 8 j + 7 are
   * `[4][8][2]` at codes + j * half_stride. A weight is table[code] * ratio / 2^18, rounded to
   * nearest at 2^15 and again at 2^3, ties up; line i uses the ratios, of 15 bits, at
   * ratios + (first_line + i) / lines_per_block * 8. */
  void (*decode_columns)(long lines, const uint8_t *lines_of_codes, const int16_t *table,
                         const int16_t *ratios, long first_line, long lines_per_block,
                         int16_t *codes, long half_stride);

  /* A group of an fp32 panel `[k][8]` to codes for x * W^T as `decode_rows` lays them out: nearest
   * of value * (4095 / largest of the row's segment), whose scale is largest / 4095. k is even. */
  void (*quantize_rows)(long k, long segment, const float *panel, int16_t *codes, float *scales);

  /* The same for 8 columns of dY * W and a segment of `groups` groups, 1 ... 8, of 8 rows. Group
   * g's 8 columns are the 64 floats at panel + g * group_stride; codes `[4 * groups][8][2]` with
   * pairs of rows, scales `[8]` of columns. */
  void (*quantize_columns)(long groups, const float *panel, long group_stride, int16_t *codes,
                           float *scales);
} qlora_int16_kernels;

/* The kernels that go with a table of product kernels: the scalar ones with the reference, or NULL
 * where this CPU has no 16-bit dot products that beat fp32. */
const qlora_int16_kernels *qlora_int16_kernels_for(const qlora_product_kernels *companions);
