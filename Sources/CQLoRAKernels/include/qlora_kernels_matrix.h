/* Kernels of products in bf16 for processors that have a matrix unit or fast dot products of it.
 *
 * Layouts
 *   strip  Up to 32 rows of the left factor, `[ceil(k / 32)][32 rows][32]` bf16, zero padded: a
 *          step of the reduction is 2 KiB in a row, whatever the stride of the rows was.
 *   half   16 columns of the right factor, `[ceil(k / 32)][16 pairs][16 columns][2]` bf16, steps
 *          2 KiB apart: pair p holds k = 2p and 2p + 1. Two halves side by side are a block of 32
 *          columns, whose steps are 2 KiB, too.
 * Sums are fp32. A matrix unit adds a step's products of even and of odd k, each in their order,
 * then both to the sum; so does the reference. Dot products add a pair's odd product to the sum,
 * then its even one. Steps and pairs follow each other in their order, and subnormal numbers count
 * as zero. So a result depends on its inputs and the order of its parts, never on how the work was
 * cut. */
#pragma once

#include <stdint.h>

enum {
  QLORA_STRIP_ROWS = 32,
  /* Of the reduction, per step. */
  QLORA_STEP = 32,
  QLORA_HALF_COLUMNS = 16,
  /* Elements of a step of a strip or of a block of two halves. */
  QLORA_STEP_ELEMENTS = 1024,
};

/* One stretch of a reduction: a strip, and blocks of 32 columns, `steps` steps each. */
typedef struct qlora_matrix_part {
  long steps;
  const uint16_t *strip;
  const uint16_t *columns;
  /* Elements from a step of the strip to the next, and from a block of columns to the next. */
  long strip_stride;
  long block_stride;
} qlora_matrix_part;

/* A stretch whose steps and blocks follow each other without gaps. */
static inline qlora_matrix_part qlora_matrix_stretch(long steps, const uint16_t *strip,
                                                     const uint16_t *columns) {
  const qlora_matrix_part part = {steps, strip, columns, QLORA_STEP_ELEMENTS,
                                  steps * QLORA_STEP_ELEMENTS};
  return part;
}

/* What the softmax over a vocabulary carries from one stretch of it to the next, per row. */
typedef struct qlora_softmax_row {
  /* Of the logits so far; begins as -infinity. */
  float largest;
  /* The first place that has it. */
  int32_t winner;
  /* Sum of exp(logit - largest) over all but the target; begins as 0. */
  double others;
  /* The target's place, and its logit once it came by. */
  int32_t target;
  float target_logit;
} qlora_softmax_row;

typedef struct qlora_matrix_kernels {
  /* x `[rows][stride]`, columns 0 ..< k, rounded to bf16, to a strip; rows <= 32. */
  void (*strip_f32)(long rows, long k, const float *x, long stride, uint16_t *out);
  void (*strip_bf16)(long rows, long k, const uint16_t *x, long stride, uint16_t *out);

  /* Pixels x `[pixels][channels]`, each `repeats` times, to planes of 32 channels `[channels / 32]`
   * of `[pixels * repeats][32]`, `plane_stride` elements apart: any 32 pixels in a row of a plane
   * are a step of a strip. */
  void (*planes_bf16)(long pixels, long channels, const uint16_t *x, long repeats, uint16_t *out,
                      long plane_stride);

  /* Two groups of 8 rows of a weight, panels `[k][8]` fp32, to the half whose columns are these 16
   * rows. */
  void (*half_of_rows)(long k, const float *first, const float *second, uint16_t *out);
  /* 16 columns of a weight to the half whose reduction is its rows: group g's columns are the 128
   * floats at panel + g * group_stride, `[16 columns][8 rows]`. */
  void (*half_of_columns)(long groups, const float *panel, long group_stride, uint16_t *out);
  /* Columns 0 ..< columns, at most 16, of x `[tokens][stride]` to the half whose reduction is the
   * tokens. */
  void (*half_of_tokens_f32)(long tokens, long columns, const float *x, long stride,
                             uint16_t *out);
  void (*half_of_tokens_bf16)(long tokens, long columns, const uint16_t *x, long stride,
                              uint16_t *out);
  /* out[i] = x[i] - bf16(x[i]): what rounding took away. May be in place. */
  void (*residual)(long count, const float *x, float *out);

  /* c `[32][stride]` = (+ itself) the sum over `parts` of strip times columns, for 32 * blocks
   * columns. */
  void (*product)(long parts, const qlora_matrix_part *part, long blocks, float *c, long stride,
                  int accumulate);

  /* c `[rows][c_stride]` plus bias `[columns]` unless NULL to out `[rows][stride]`. */
  void (*store_f32)(long rows, long columns, const float *c, long c_stride, const float *bias,
                    float *out, long stride, int accumulate);
  void (*store_bf16)(long rows, long columns, const float *c, long c_stride, const float *bias,
                     uint16_t *out, long stride);

  /* Takes logits c `[rows][stride]` of the vocabulary's places first ..< first + columns into
   * `state`. Where `out` is not NULL: a strip of exp(logit - largest), 0 at the target; and
   * `factors` `[rows]`, by which what was summed with the former largest must be multiplied. */
  void (*softmax)(long rows, long columns, const float *c, long stride, long first,
                  qlora_softmax_row *state, float *factors, uint16_t *out);

  /* As `qlora_product_kernels.peak`, of bf16. */
  double (*peak)(long rounds);
} qlora_matrix_kernels;

extern const qlora_matrix_kernels qlora_matrix_reference;
#if defined(__x86_64__)
/* Needs AVX-512 with bf16. */
extern const qlora_matrix_kernels qlora_matrix_avx512bf16;
/* Needs AMX (tiles, bf16), too. */
extern const qlora_matrix_kernels qlora_matrix_amx;
#endif
