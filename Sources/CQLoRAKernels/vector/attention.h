// Attention over `vec`, causal or of all keys, tile by tile, forward pass. Queries lie along the
// lanes, so that the running softmax never works across lanes. Needs `tile` and `transpose` beside
// simd.h.
#pragma once
#include <float.h>
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

/// Where a block of keys meets a tile of queries.
typedef struct {
  long keys;    // a multiple of 8
  long offset;  // position of key 0 less position of query 0
  long units;   // lanes in use, in sixteens
  long real;    // keys that are not padding, where causality does not hide it
} meeting;

/// The meeting of the block at `block` with `rows` queries from position `position`.
INLINE meeting meet(long block, long position, long rows) {
  const long left = position + rows - block;
  return (meeting){.keys = left < TILE ? (left + 7) / 8 * 8 : TILE,
                   .offset = block - position,
                   .units = (rows + 15) / 16,
                   .real = TILE};
}

/// The same where all of `keys` keys are seen.
INLINE meeting meet_all(long block, long keys, long rows) {
  const long left = keys - block;
  return (meeting){.keys = left < TILE ? (left + 7) / 8 * 8 : TILE,
                   .offset = -TILE,
                   .units = (rows + 15) / 16,
                   .real = left};
}

/// The first unit of lanes in which some query sees `key`; below `units` for every key.
INLINE long first_unit(const meeting m, long key) {
  return key + m.offset > 0 ? (key + m.offset) / 16 : 0;
}

/// Sᵀ `[keys][TILE]` of packed keys by a packed query tile `[size][TILE]`; zeros in the units that
/// the mask covers whole.
INLINE void score_block(const meeting m, long size, const float *packed_keys,
                        const float *queries, float *scores) {
  for (long key = 0; key < m.keys; key += 8) {
    const long unit = first_unit(m, key);
    float *to = scores + key * TILE;
    tile(size, packed_keys + key * size, 8, queries + 16 * unit, TILE, to + 16 * unit, TILE,
         m.units - unit, 0);
    for (int row = 0; unit > 0 && row < 8; row++) {
      memset(to + row * TILE, 0, (size_t)unit * 16 * sizeof *to);
    }
  }
}

/// out `[size][TILE]` (+)= rowsᵀ · x with rows `[keys][size]` and x `[keys][TILE]`, without the
/// units that the mask covers whole.
INLINE void add_products(const meeting m, long size, const float *rows, const float *x,
                         float *out, int accumulate) {
  const long step = first_unit(m, m.keys - 1) > 0 ? 16 : m.keys;
  for (long key = 0; key < m.keys; key += step) {
    const long left = m.keys - key, count = left < step ? left : step;
    const long unit = first_unit(m, key);
    for (long d = 0; d < size; d += 8) {
      tile(count, rows + key * size + d, size, x + key * TILE + 16 * unit, TILE,
           out + d * TILE + 16 * unit, TILE, m.units - unit, accumulate || key > 0);
    }
  }
}

/// The first block of keys that a query at `position` sees.
INLINE long first_block(const qlora_attention *t, long position) {
  return t->window > 0 && t->window <= position ? (position + 1 - t->window) / TILE * TILE : 0;
}

/// Scores s become cap·tanh(s / cap).
INLINE void cap_block(const meeting m, float cap, float *scores) {
  if (cap <= 0) return;
  for (long key = 0; key < m.keys; key++) {
    for (int lane = 0; lane < 16 * m.units; lane += LANES) {
      float *to = scores + key * TILE + lane;
      vec_store(to, vec_mul(vec_tanh(vec_mul(vec_load(to), vec_set(1 / cap))), vec_set(cap)));
    }
  }
}

/// −∞ where the key's position is `window` or more before the query's.
INLINE void mask_window(const meeting m, long window, float *scores) {
  if (window <= 0 || m.offset > 16 * m.units - 1 - window) return;
  float positions[TILE];
  for (int lane = 0; lane < TILE; lane++) positions[lane] = (float)(lane - window);
  for (long key = 0; key < m.keys; key++) {
    const vec before = vec_set((float)(key + m.offset) - 0.5f);
    for (int lane = 0; lane < 16 * m.units; lane += LANES) {
      float *to = scores + key * TILE + lane;
      const vec outside = vec_set(-INFINITY);
      vec_store(to, vec_if_less(before, vec_load(positions + lane), outside, vec_load(to)));
    }
  }
}

/// −∞ where the key's position is after the query's, or out of its window.
INLINE void mask_block(const meeting m, long window, float *scores) {
  mask_window(m, window, scores);
  if (m.offset + m.keys - 1 <= 0) return;
  float positions[TILE];
  for (int lane = 0; lane < TILE; lane++) positions[lane] = (float)lane;
  for (long key = 0; key < m.keys; key++) {
    const vec position = vec_set((float)(key + m.offset));
    for (int lane = 0; lane < 16 * m.units; lane += LANES) {
      float *to = scores + key * TILE + lane;
      const vec outside = vec_set(-INFINITY);
      vec_store(to, vec_if_less(vec_load(positions + lane), position, outside, vec_load(to)));
    }
  }
}

/// −∞ for keys that are padding.
INLINE void mask_padding(const meeting m, float *scores) {
  for (long key = m.real; key < m.keys; key++) {
    for (int lane = 0; lane < 16 * m.units; lane += LANES) {
      vec_store(scores + key * TILE + lane, vec_set(-INFINITY));
    }
  }
}

/// Scores become exp(score − maximum); updates the running maximum and sum, and leaves in `decay`
/// what earlier blocks' results are to be multiplied by.
INLINE void softmax_block(const meeting m, float *scores, float *maximum, float *sum,
                          float *decay) {
  for (int lane = 0; lane < 16 * m.units; lane += LANES) {
    const vec old = vec_load(maximum + lane);
    vec peak = old;
    for (long key = 0; key < m.keys; key++) {
      peak = vec_max(peak, vec_load(scores + key * TILE + lane));
    }
    const vec shrink = vec_exp(vec_sub(old, peak));
    vec total = vec_mul(vec_load(sum + lane), shrink);
    for (long key = 0; key < m.keys; key++) {
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
INLINE void scale_lanes(long size, long lanes, const float *factors, float *x) {
  for (int lane = 0; lane < lanes; lane += LANES) {
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
  const long seen = t->sees_all ? t->keys : position + rows;
  const long query = start * t->query_stride + head * size, lanes = (rows + 15) / 16 * 16;
  widen_rows(t->query_type, element_at(t->query_type, t->query, query), t->query_stride, rows,
             lanes, size, t->scale, s->rows);
  transpose(lanes, size, s->rows, size, s->queries, TILE);
  // A query of which a window hides the first block has no score there: −∞ less −∞ would be NaN.
  const float least = t->window > 0 ? -FLT_MAX : -INFINITY;
  for (int lane = 0; lane < TILE; lane++) s->maximum[lane] = least, s->sum[lane] = 0;

  const long begin = first_block(t, position);
  for (long block = begin; block < seen; block += TILE) {
    const meeting m =
        t->sees_all ? meet_all(block, t->keys, rows) : meet(block, position, rows);
    score_block(m, size, s->packed_keys + block * size, s->queries, s->scores);
    cap_block(m, t->soft_cap, s->scores);
    mask_block(m, t->window, s->scores);
    mask_padding(m, s->scores);
    softmax_block(m, s->scores, s->maximum, s->sum, s->decay);
    if (block > begin) scale_lanes(size, lanes, s->decay, s->outputs);
    add_products(m, size, s->values + block * size, s->scores, s->outputs, block > begin);
  }

  for (int lane = 0; lane < TILE; lane++) s->decay[lane] = 1 / s->sum[lane];
  scale_lanes(size, lanes, s->decay, s->outputs);
  transpose(size, lanes, s->outputs, TILE, s->rows, size);
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
