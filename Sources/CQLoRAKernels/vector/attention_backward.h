// The gradient of attention over `vec`, causal or of all keys. Probabilities are computed again
// from the kept log Σ exp; with Sᵀ, Pᵀ, dPᵀ and dSᵀ as `[keys][queries]` tiles,
//   dP = dO·Vᵀ,  dS = P∘(dP − rowsum(dO∘O)),  dQ = scale·dS·K,  dK = dSᵀ·(scale·Q),  dV = Pᵀ·dO.
// Dao 2023, "FlashAttention-2", arXiv:2307.08691, algorithm 2.
#pragma once
#include "attention.h"

/// The memory of one backward task, cut from its scratch. Queries are kept times `scale`.
typedef struct {
  float *keys, *packed_keys, *packed_values;        // [padded][size], [padded / 8][size][8] twice
  float *key_gradients, *value_gradients;           // [padded / TILE][size][TILE] each
  float *query_rows, *output_rows;                  // Q and dO, [TILE][size] each
  float *queries, *outputs;                         // the same as [size][TILE]
  float *query_gradient, *rows;                     // [size][TILE], [TILE][size]
  float *p, *ds, *transposed, *slopes;              // [TILE][TILE] each
  float *log_sum_exp, *delta;                       // [TILE] each
} backward_scratch;

INLINE backward_scratch cut_backward(const qlora_attention *t, long padded) {
  const long all = padded * t->head_size, one = TILE * t->head_size;
  backward_scratch s;
  s.keys = t->scratch;
  s.packed_keys = s.keys + all;
  s.packed_values = s.packed_keys + all;
  s.key_gradients = s.packed_values + all;
  s.value_gradients = s.key_gradients + all;
  s.query_rows = s.value_gradients + all;
  s.output_rows = s.query_rows + one;
  s.queries = s.output_rows + one;
  s.outputs = s.queries + one;
  s.query_gradient = s.outputs + one;
  s.rows = s.query_gradient + one;
  s.p = s.rows + one;
  s.ds = s.p + TILE * TILE;
  s.transposed = s.ds + TILE * TILE;
  s.log_sum_exp = s.transposed + TILE * TILE;
  s.delta = s.log_sum_exp + TILE;
  s.slopes = s.delta + TILE;
  return s;
}

/// Scores become exp(score − logSumExp).
INLINE void probability_block(const meeting m, const float *log_sum_exp, float *scores) {
  for (int lane = 0; lane < 16 * m.units; lane += LANES) {
    const vec shift = vec_load(log_sum_exp + lane);
    for (long key = 0; key < m.keys; key++) {
      float *score = scores + key * TILE + lane;
      vec_store(score, vec_exp(vec_sub(vec_load(score), shift)));
    }
  }
}

/// The derivative 1 − (s / cap)² of a cap by capped scores s.
INLINE void slope_block(const meeting m, float cap, const float *scores, float *slopes) {
  if (cap <= 0) return;
  for (long key = 0; key < m.keys; key++) {
    for (int lane = 0; lane < 16 * m.units; lane += LANES) {
      const vec bent = vec_mul(vec_load(scores + key * TILE + lane), vec_set(1 / cap));
      vec_store(slopes + key * TILE + lane, vec_fnma(bent, bent, vec_set(1)));
    }
  }
}

/// Gradients of capped scores become those of scores.
INLINE void bend_block(const meeting m, float cap, const float *slopes, float *ds) {
  if (cap <= 0) return;
  for (long key = 0; key < m.keys; key++) {
    for (int lane = 0; lane < 16 * m.units; lane += LANES) {
      float *to = ds + key * TILE + lane;
      vec_store(to, vec_mul(vec_load(to), vec_load(slopes + key * TILE + lane)));
    }
  }
}

/// dP becomes dS = P∘(dP − delta).
INLINE void score_gradient_block(const meeting m, const float *p, const float *delta, float *dp) {
  for (int lane = 0; lane < 16 * m.units; lane += LANES) {
    const vec shift = vec_load(delta + lane);
    for (long key = 0; key < m.keys; key++) {
      float *to = dp + key * TILE + lane;
      vec_store(to, vec_mul(vec_load(p + key * TILE + lane), vec_sub(vec_load(to), shift)));
    }
  }
}

/// out `[size][TILE keys]` += rowsᵀ · xᵀ with rows `[queries][size]` and x `[keys][TILE queries]`,
/// without the units of keys that the mask hides from sixteen queries. Lanes past the keys add
/// what an earlier block left in `transposed`; nobody reads them.
INLINE void add_key_products(const meeting m, long size, const float *x, const float *rows,
                             float *transposed, float *out) {
  const long queries = 16 * m.units, units = (m.keys + 15) / 16;
  const int diagonal = m.offset == 0;
  transpose(m.keys, queries, x, TILE, transposed, TILE);
  for (long query = 0; query < queries; query += diagonal ? 16 : queries) {
    const long seen = diagonal && query / 16 + 1 < units ? query / 16 + 1 : units;
    for (long d = 0; d < size; d += 8) {
      tile(diagonal ? 16 : queries, rows + query * size + d, size, transposed + query * TILE,
           TILE, out + d * TILE, TILE, seen, 1);
    }
  }
}

/// Loads the query tile at `start` of one head, its output gradient, `delta` and `log_sum_exp`;
/// lanes past `rows` get zeros.
INLINE void load_queries(const qlora_attention_gradients *g, const backward_scratch *s,
                         long head, long start, long rows) {
  const qlora_attention *t = &g->forward;
  const long size = t->head_size;
  const long query = start * t->query_stride + head * size;
  const long output = start * t->output_stride + head * size;
  const long lanes = (rows + 15) / 16 * 16;
  const float *kept = t->log_sum_exp + head * t->log_sum_exp_stride + start;
  widen_rows(t->output_type, element_at(t->output_type, t->output, output), t->output_stride, rows,
             lanes, size, 1, s->rows);
  widen_rows(F32, g->output_gradient + output, t->output_stride, rows, lanes, size, 1,
             s->output_rows);
  widen_rows(t->query_type, element_at(t->query_type, t->query, query), t->query_stride, rows,
             lanes, size, t->scale, s->query_rows);
  for (long row = 0; row < lanes; row++) {
    const float *left = s->rows + row * size, *right = s->output_rows + row * size;
    vec sum = vec_set(0);
    EACH_VECTOR(size, sum = vec_fma(load(F32, left, i, n), load(F32, right, i, n), sum));
    s->delta[row] = vec_sum(sum);
    s->log_sum_exp[row] = row < rows ? kept[row] : 0;
  }
  transpose(lanes, size, s->output_rows, size, s->outputs, TILE);
  transpose(lanes, size, s->query_rows, size, s->queries, TILE);
}

/// All that one query tile adds to the gradients.
static void attend_tile_backward(const qlora_attention_gradients *g, const backward_scratch *s,
                                 long head, long start) {
  const qlora_attention *t = &g->forward;
  const long size = t->head_size, left = t->queries - start;
  const long rows = left < TILE ? left : TILE;
  const long seen = t->sees_all ? t->keys : start + rows;
  load_queries(g, s, head, start, rows);

  const long begin = first_block(t, start);
  for (long block = begin; block < seen; block += TILE) {
    const meeting m =
        t->sees_all ? meet_all(block, t->keys, rows) : meet(block, start, rows);
    score_block(m, size, s->packed_keys + block * size, s->queries, s->p);
    cap_block(m, t->soft_cap, s->p);
    slope_block(m, t->soft_cap, s->p, s->slopes);
    mask_block(m, t->window, s->p);
    mask_padding(m, s->p);
    probability_block(m, s->log_sum_exp, s->p);
    score_block(m, size, s->packed_values + block * size, s->outputs, s->ds);
    score_gradient_block(m, s->p, s->delta, s->ds);
    bend_block(m, t->soft_cap, s->slopes, s->ds);
    add_products(m, size, s->keys + block * size, s->ds, s->query_gradient, block > begin);
    add_key_products(m, size, s->p, s->output_rows, s->transposed,
                     s->value_gradients + block * size);
    add_key_products(m, size, s->ds, s->query_rows, s->transposed,
                     s->key_gradients + block * size);
  }

  transpose(size, (rows + 15) / 16 * 16, s->query_gradient, TILE, s->rows, size);
  float *gradient = g->query_gradient + start * t->query_stride + head * size;
  for (long row = 0; row < rows; row++) {
    EACH_VECTOR(size, {
      const vec value = vec_mul(load(F32, s->rows + row * size, i, n), vec_set(t->scale));
      store(F32, gradient + row * t->query_stride, i, n, value);
    });
  }
}

/// x `[padded / TILE][size][TILE]` to rows of `out`.
INLINE void store_key_gradients(const backward_scratch *s, long keys, long size,
                                const float *x, float *out, long stride) {
  for (long block = 0; block < keys; block += TILE) {
    transpose(size, TILE, x + block * size, TILE, s->rows, size);
    for (long row = 0; row < TILE && block + row < keys; row++) {
      memcpy(out + (block + row) * stride, s->rows + row * size, (size_t)size * sizeof *out);
    }
  }
}

void KERNEL(attention_backward)(const qlora_attention_gradients *g) {
  const qlora_attention *t = &g->forward;
  const long size = t->head_size, padded = qlora_attention_padded(t->keys);
  const backward_scratch s = cut_backward(t, padded);
  widen_rows(t->value_type, t->value, t->value_stride, t->keys, padded, size, 1, s.keys);
  pack_groups(padded, size, s.keys, s.packed_values);
  widen_rows(t->key_type, t->key, t->key_stride, t->keys, padded, size, 1, s.keys);
  pack_groups(padded, size, s.keys, s.packed_keys);
  memset(s.key_gradients, 0, (size_t)(2 * padded * size) * sizeof(float));
  memset(s.transposed, 0, TILE * TILE * sizeof(float));
  for (long head = 0; head < t->group; head++) {
    for (long start = 0; start < t->queries; start += TILE) {
      attend_tile_backward(g, &s, head, start);
    }
  }
  store_key_gradients(&s, t->keys, size, s.key_gradients, g->key_gradient, t->key_stride);
  store_key_gradients(&s, t->keys, size, s.value_gradients, g->value_gradient, t->value_stride);
}
