// Attention of one query row to its cache over `vec`: the step of generation. Bound by reading the
// keys and values, each once for up to four query heads.
#pragma once
#include <math.h>

#include "vector.h"

enum { row_heads = 4, row_head_size = 256 };

/// sums[head] += k · queries `[heads][row_head_size]`, `n` elements of each.
INLINE void add_row_products(long heads, vec k, const float *queries, long n, vec *sums) {
#pragma clang loop unroll(full)
  for (long head = 0; head < heads; head++) {
    sums[head] = vec_fma(load(F32, queries, head * row_head_size, n), k, sums[head]);
  }
}

/// scores `[heads][stride]` = queries `[heads][row_head_size]` · keysᵀ.
INLINE void row_scores(const qlora_attention *t, long heads, const float *queries, float *scores,
                       long stride) {
  for (long key = 0; key < t->keys; key++) {
    const void *row = element_at(t->key_type, t->key, key * t->key_stride);
    vec sums[row_heads] = {vec_set(0), vec_set(0), vec_set(0), vec_set(0)};
    EACH_VECTOR(t->head_size, {
      const vec k = load(t->key_type, row, i, n);
      add_row_products(heads, k, queries + i, n, sums);
    });
    for (long head = 0; head < heads; head++) scores[head * stride + key] = vec_sum(sums[head]);
  }
}

/// In place exp(score − maximum) of scores that are capped first; returns the sum.
INLINE float row_softmax(long keys, float cap, float *scores) {
  if (cap > 0) {
    EACH_VECTOR(keys, {
      const vec bent = vec_tanh(vec_mul(load(F32, scores, i, n), vec_set(1 / cap)));
      store(F32, scores, i, n, vec_mul(bent, vec_set(cap)));
    });
  }
  float maximum = -INFINITY;
  for (long key = 0; key < keys; key++) {
    if (!(scores[key] <= maximum)) maximum = scores[key];  // lets a NaN through
  }
  EACH_VECTOR(keys, {
    const vec weight = vec_exp(vec_sub(load(F32, scores, i, n), vec_set(maximum)));
    store(F32, scores, i, n, weight);
  });
  vec sum = vec_set(0);
  EACH_VECTOR(keys, sum = vec_add(sum, load(F32, scores, i, n)));
  return vec_sum(sum);
}

/// One vector of the outputs at element `i`, over all values.
INLINE void row_output(const qlora_attention *t, long heads, long first, const float *weights,
                       long stride, const float *inverses, long i, long n) {
  vec sums[row_heads] = {vec_set(0), vec_set(0), vec_set(0), vec_set(0)};
  for (long key = 0; key < t->keys; key++) {
    const vec v = load(t->value_type, t->value, key * t->value_stride + i, n);
#pragma clang loop unroll(full)
    for (long head = 0; head < heads; head++) {
      sums[head] = vec_fma(vec_set(weights[head * stride + key]), v, sums[head]);
    }
  }
  for (long head = 0; head < heads; head++) {
    store(t->output_type, t->output, (first + head) * t->head_size + i, n,
          vec_mul(sums[head], vec_set(inverses[head])));
  }
}

/// Heads `first ..< first + heads`; `heads` is a constant, so that the sums stay in registers.
INLINE void row_group(const qlora_attention *t, long first, const long heads) {
  const long stride = t->keys + 16;
  float *scores = t->scratch + first * stride;
  float queries[row_heads * row_head_size], inverses[row_heads];
  for (long head = 0; head < heads; head++) {
    EACH_VECTOR(t->head_size, {
      const vec q = load(t->query_type, t->query, (first + head) * t->head_size + i, n);
      store(F32, queries + head * row_head_size, i, n, vec_mul(q, vec_set(t->scale)));
    });
  }
  row_scores(t, heads, queries, scores, stride);
  for (long head = 0; head < heads; head++) {
    inverses[head] = 1 / row_softmax(t->keys, t->soft_cap, scores + head * stride);
  }
  EACH_VECTOR(t->head_size, row_output(t, heads, first, scores, stride, inverses, i, n));
}

void KERNEL(attention_row)(const qlora_attention *t) {
  for (long first = 0; first < t->group; first += row_heads) {
    switch (t->group - first) {
      case 1: row_group(t, first, 1); break;
      case 2: row_group(t, first, 2); break;
      case 3: row_group(t, first, 3); break;
      default: row_group(t, first, 4); break;
    }
  }
}
