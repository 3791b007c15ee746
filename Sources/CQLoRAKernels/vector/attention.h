// Causal attention over `vec`, tile by tile, forward pass. Queries lie along the lanes, so that
// the running softmax never works across lanes. Needs `tile` and `transpose` beside simd.h.
#pragma once
#include <math.h>

#include "vector.h"

/// Queries in a tile, and keys in a block. At head size 64 the arrays of one step are four of
/// 12 KiB and one of 9 KiB: in reach of a 32 KiB first cache with the second cache behind it.
#define TILE qlora_attention_tile

/// `rows` rows of `size` elements times `factor` to out `[padded][size]`, zeros below.
INLINE void widen_rows(qlora_element type, const void *x, long stride, long rows,
                       long padded, long size, float factor, float *out) {
  const vec scale = vec_set(factor);
  for (long row = 0; row < rows; row++) {
    const void *from = element_at(type, x, row * stride);
    float *to = out + row * size;
    EACH_VECTOR(size, store(F32, to, i, n, vec_mul(load(type, from, i, n), scale)));
  }
  memset(out + rows * size, 0, (size_t)((padded - rows) * size) * sizeof *out);
}

/// x `[rows][size]` to `[rows / 8][size][8]`, as `tile` wants its `w` with ldw = 8.
INLINE void pack_groups(long rows, long size, const float *x, float *out) {
  for (long row = 0; row < rows; row += 8) {
    transpose(8, size, x + row * size, size, out + row * size, 8);
  }
}

/// Sᵀ `[keys][TILE]` of packed keys by a packed query tile `[size][TILE]`.
INLINE void score_block(long keys, long size, const float *packed_keys,
                        const float *queries, float *scores) {
  for (long key = 0; key < keys; key += 8) {
    tile(size, packed_keys + key * size, 8, queries, TILE, scores + key * TILE, TILE, 0);
  }
}

/// −∞ where the key's position is after the query's; `offset` is that of key 0 less query 0.
INLINE void mask_block(long keys, long offset, float *scores) {
  float positions[TILE];
  for (int lane = 0; lane < TILE; lane++) positions[lane] = (float)lane;
  for (long key = 0; key < keys; key++) {
    const vec position = vec_set((float)(key + offset));
    for (int lane = 0; lane < TILE; lane += LANES) {
      float *to = scores + key * TILE + lane;
      const vec outside = vec_set(-INFINITY);
      vec_store(to, vec_if_less(vec_load(positions + lane), position, outside, vec_load(to)));
    }
  }
}

/// Scores become exp(score − maximum); updates the running maximum and sum, and leaves in `decay`
/// what earlier blocks' results are to be multiplied by.
INLINE void softmax_block(long keys, float *scores, float *maximum, float *sum, float *decay) {
  for (int lane = 0; lane < TILE; lane += LANES) {
    const vec old = vec_load(maximum + lane);
    vec peak = old;
    for (long key = 0; key < keys; key++) {
      peak = vec_max(peak, vec_load(scores + key * TILE + lane));
    }
    const vec shrink = vec_exp(vec_sub(old, peak));
    vec total = vec_mul(vec_load(sum + lane), shrink);
    for (long key = 0; key < keys; key++) {
      float *score = scores + key * TILE + lane;
      const vec weight = vec_exp(vec_sub(vec_load(score), peak));
      vec_store(score, weight);
      total = vec_add(total, weight);
    }
    vec_store(maximum + lane, peak);
    vec_store(sum + lane, total);
    vec_store(decay + lane, shrink);
  }
}

/// x `[size][TILE]` times one factor per lane.
INLINE void scale_lanes(long size, const float *factors, float *x) {
  for (int lane = 0; lane < TILE; lane += LANES) {
    const vec factor = vec_load(factors + lane);
    for (long row = 0; row < size; row++) {
      float *to = x + row * TILE + lane;
      vec_store(to, vec_mul(vec_load(to), factor));
    }
  }
}

/// The memory of one forward task, cut from its scratch.
typedef struct {
  float *packed_keys, *values;                     // [padded / 8][size][8], [padded][size]
  float *rows, *queries, *outputs;                 // [TILE][size], [size][TILE], [size][TILE]
  float *scores, *maximum, *sum, *decay;           // [TILE][TILE], [TILE] each
} forward_scratch;

INLINE forward_scratch cut_forward(const qlora_attention *t, long padded) {
  const long size = t->head_size;
  forward_scratch s;
  s.packed_keys = t->scratch;
  s.values = s.packed_keys + padded * size;
  s.rows = s.values + padded * size;
  s.queries = s.rows + TILE * size;
  s.outputs = s.queries + TILE * size;
  s.scores = s.outputs + TILE * size;
  s.maximum = s.scores + TILE * TILE;
  s.sum = s.maximum + TILE;
  s.decay = s.sum + TILE;
  return s;
}

/// One tile of at most TILE queries, from query `start` of one head.
static void attend_tile(const qlora_attention *t, const forward_scratch *s, long head,
                        long start) {
  const long size = t->head_size, left = t->queries - start;
  const long rows = left < TILE ? left : TILE, position = t->first + start;
  const long seen = position + rows;
  const long query = start * t->query_stride + head * size;
  widen_rows(t->query_type, element_at(t->query_type, t->query, query), t->query_stride, rows,
             TILE, size, t->scale, s->rows);
  transpose(TILE, size, s->rows, size, s->queries, TILE);
  for (int lane = 0; lane < TILE; lane++) s->maximum[lane] = -INFINITY, s->sum[lane] = 0;

  for (long block = 0; block < seen; block += TILE) {
    const long keys = seen - block < TILE ? (seen - block + 7) / 8 * 8 : TILE;
    score_block(keys, size, s->packed_keys + block * size, s->queries, s->scores);
    if (block + keys - 1 > position) mask_block(keys, block - position, s->scores);
    softmax_block(keys, s->scores, s->maximum, s->sum, s->decay);
    if (block > 0) scale_lanes(size, s->decay, s->outputs);
    for (long d = 0; d < size; d += 8) {
      tile(keys, s->values + block * size + d, size, s->scores, TILE, s->outputs + d * TILE, TILE,
           block > 0);
    }
  }

  for (int lane = 0; lane < TILE; lane++) s->decay[lane] = 1 / s->sum[lane];
  scale_lanes(size, s->decay, s->outputs);
  transpose(size, TILE, s->outputs, TILE, s->rows, size);
  for (long row = 0; row < rows; row++) {
    const long output = (start + row) * t->output_stride + head * size;
    void *to = (void *)element_at(t->output_type, t->output, output);
    EACH_VECTOR(size, store(t->output_type, to, i, n, load(F32, s->rows + row * size, i, n)));
    if (t->log_sum_exp) {
      t->log_sum_exp[head * t->log_sum_exp_stride + start + row] =
          s->maximum[row] + logf(s->sum[row]);
    }
  }
}

void KERNEL(attention)(const qlora_attention *t) {
  const long size = t->head_size, padded = qlora_attention_padded(t->keys);
  const forward_scratch s = cut_forward(t, padded);
  widen_rows(t->key_type, t->key, t->key_stride, t->keys, padded, size, 1, s.values);
  pack_groups(padded, size, s.values, s.packed_keys);
  widen_rows(t->value_type, t->value, t->value_stride, t->keys, padded, size, 1, s.values);
  for (long head = 0; head < t->group; head++) {
    for (long start = 0; start < t->queries; start += TILE) attend_tile(t, &s, head, start);
  }
}
