// Attention of bf16 rows, causal or of all keys, in bf16 products: a strip of 32 queries meets
// blocks of keys, with a running softmax in fp32 between the two products. Other types, windows and
// caps take the AVX-512 kernel.
#pragma once
#include <math.h>

#include "attention_pack.h"
#include "softmax_row.h"

/* The memory of one forward task, cut from its scratch. */
typedef struct {
  /* Blocks of columns, the reduction along the head and along the keys. */
  uint16_t *keys, *values;
  /* Strips. */
  uint16_t *queries, *weights;
  /* [32][KEY_BLOCK], [32][wide] */
  float *scores, *outputs;
} forward_scratch;

static forward_scratch cut(const qlora_attention *t) {
  const long wide = round_up(t->head_size, 32), padded = round_up(t->keys, 32);
  forward_scratch s;
  s.scores = t->scratch;
  s.outputs = s.scores + 32 * KEY_BLOCK;
  s.keys = (uint16_t *)(s.outputs + 32 * wide);
  s.values = s.keys + padded * wide;
  s.queries = s.values + padded * wide;
  s.weights = s.queries + 32 * wide;
  return s;
}

/* Scores of a strip's rows become a strip of weights exp(score - maximum); the first `wide` columns
 * of the outputs so far are scaled by what the maximum grew. Row r sees the first
 * `seen + step · r` keys of this block. */
static void weigh(const forward_scratch *s, long rows, long width, long seen, long step,
                  float scale, running_softmax *state, long wide) {
  for (long row = 0; row < rows; row++) {
    const long left = seen + step * row, count = left < 0 ? 0 : left < width ? left : width;
    const float decay = softmax_row(count, width, s->scores + row * KEY_BLOCK, scale,
                                    state->maximum + row, state->sum + row,
                                    s->weights + row * QLORA_STEP_ROW);
    if (decay != 1) {
      float *out = s->outputs + row * wide;
      for (long d = 0; d < wide; d += 16) {
        _mm512_storeu_ps(out + d, _mm512_mul_ps(_mm512_loadu_ps(out + d), _mm512_set1_ps(decay)));
      }
    }
  }
  for (long row = rows; row < 32; row++) clear_steps(0, width, s->weights + row * QLORA_STEP_ROW);
}

/* One strip of at most 32 queries, from query `start` of one head. */
static void attend_strip(const qlora_attention *t, const forward_scratch *s, long head,
                         long start) {
  const long size = t->head_size, wide = round_up(size, 32), steps = qlora_steps(size);
  const long left = t->queries - start, rows = left < 32 ? left : 32;
  const long position = t->first + start;
  const long seen = t->sees_all ? t->keys : position + rows;
  qlora_strip_bf16_avx512bf16(
      rows, size, (const uint16_t *)t->query + start * t->query_stride + head * size,
      t->query_stride, s->queries);
  running_softmax state;
  for (int row = 0; row < 32; row++) state.maximum[row] = -INFINITY, state.sum[row] = 0;
  for (long block = 0; block < seen; block += KEY_BLOCK) {
    const long keys = t->keys - block < KEY_BLOCK ? t->keys - block : KEY_BLOCK;
    const long width = round_up(seen - block < keys ? seen - block : keys, 32);
    qlora_matrix_part part = qlora_matrix_stretch(steps, s->queries, s->keys + block * wide);
    UNIT_KERNEL(matrix_product)(1, &part, width / 32, s->scores, KEY_BLOCK, 0);
    weigh(s, rows, width, (t->sees_all ? t->keys : position + 1) - block, !t->sees_all, t->scale,
          &state, block > 0 ? wide : 0);
    /* The columns are cut for all keys of the block; later ones have weight 0. */
    const long whole = round_up(keys, 32);
    for (long row = 0; row < 32; row++) {
      clear_steps(width, whole, s->weights + row * QLORA_STEP_ROW);
    }
    part = qlora_matrix_stretch(whole / 32, s->weights, s->values + block * wide);
    UNIT_KERNEL(matrix_product)(1, &part, wide / 32, s->outputs, wide, block > 0);
  }
  for (long row = 0; row < rows; row++) {
    const __m512 factor = _mm512_set1_ps(1 / state.sum[row]);
    uint16_t *to = (uint16_t *)t->output + (start + row) * t->output_stride + head * size;
    for (long d = 0; d < size; d += 32) {
      const float *from = s->outputs + row * wide + d;
      _mm512_mask_storeu_epi16(to + d, first32(size - d),
                               narrow(_mm512_mul_ps(_mm512_loadu_ps(from), factor),
                                      _mm512_mul_ps(_mm512_loadu_ps(from + 16), factor)));
    }
    if (t->log_sum_exp) {
      t->log_sum_exp[head * t->log_sum_exp_stride + start + row] =
          state.maximum[row] + logf(state.sum[row]);
    }
  }
}

void qlora_attention_avx512(const qlora_attention *);

void UNIT_KERNEL(attention)(const qlora_attention *t) {
  if (t->query_type != qlora_element_bf16 || t->key_type != qlora_element_bf16 ||
      t->value_type != qlora_element_bf16 || t->output_type != qlora_element_bf16 ||
      t->window > 0 || t->soft_cap > 0) {
    qlora_attention_avx512(t);
    return;
  }
  const forward_scratch s = cut(t);
  columns_of_rows(t->keys, t->head_size, t->key, t->key_stride, s.keys);
  columns_of_tokens(t->keys, t->head_size, t->value, t->value_stride, KEY_BLOCK, s.values);
  for (long head = 0; head < t->group; head++) {
    for (long start = 0; start < t->queries; start += 32) attend_strip(t, &s, head, start);
  }
}
