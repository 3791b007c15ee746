// The gradient of attention of bf16 rows, causal or of all keys, in bf16 products: blocks of 128
// queries meet blocks of 256 keys. Probabilities are computed again from the kept log Σ exp; with
// P, dP and dS as rows of queries,
//   dP = dO·Vᵀ,  dS = P∘(dP − rowsum(dO∘O)),  dQ = scale·dS·K,  dKᵀ = (scale·Q)ᵀ·dS,  dVᵀ = dOᵀ·P.
// Dao 2023, "FlashAttention-2", arXiv:2307.08691, algorithm 2. Other types, windows
// and caps take the AVX-512 kernel.
#pragma once
#include <math.h>

#include "attention_pack.h"

enum { QUERY_STEPS = QUERY_BLOCK / 32 };

/* The memory of one backward task, cut from its scratch. */
typedef struct {
  /* Blocks of columns: K and V with the reduction along the head, K with it along the keys. */
  uint16_t *keys, *values, *key_tokens;
  /* [wide][padded] each. */
  float *key_gradients, *value_gradients;
  /* Q and dO of a block: strips of queries, and strips of the head's columns. */
  uint16_t *queries, *outputs, *transposed_queries, *transposed_outputs;
  /* [QUERY_BLOCK][wide], [QUERY_BLOCK] each. */
  float *query_gradients, *delta, *log_sum_exp;
  /* [32][KEY_BLOCK] each; a strip of dS; P and dS as columns, the reduction along the queries. */
  float *scores, *score_gradients;
  uint16_t *strip, *weights, *weight_gradients;
  long wide, padded;
} backward_scratch;

static backward_scratch cut(const qlora_attention *t) {
  backward_scratch s;
  s.wide = round_up(t->head_size, 32);
  s.padded = round_up(t->keys, 32);
  const long all = s.padded * s.wide, one = QUERY_BLOCK * s.wide;
  s.key_gradients = t->scratch;
  s.value_gradients = s.key_gradients + all;
  s.query_gradients = s.value_gradients + all;
  s.scores = s.query_gradients + one;
  s.score_gradients = s.scores + 32 * KEY_BLOCK;
  s.delta = s.score_gradients + 32 * KEY_BLOCK;
  s.log_sum_exp = s.delta + QUERY_BLOCK;
  s.keys = (uint16_t *)(s.log_sum_exp + QUERY_BLOCK);
  s.values = s.keys + all;
  s.key_tokens = s.values + all;
  s.queries = s.key_tokens + all;
  s.outputs = s.queries + one;
  s.transposed_queries = s.outputs + one;
  s.transposed_outputs = s.transposed_queries + one;
  s.strip = s.transposed_outputs + one;
  s.weights = s.strip + 32 * KEY_BLOCK;
  s.weight_gradients = s.weights + QUERY_BLOCK * KEY_BLOCK;
  return s;
}

/* delta and log_sum_exp of queries start ..< start + rows. */
static void load_statistics(const qlora_attention_gradients *g, const backward_scratch *s,
                            long head, long start, long rows) {
  const qlora_attention *t = &g->forward;
  for (long row = 0; row < rows; row++) {
    const long at = (start + row) * t->output_stride + head * t->head_size;
    const uint16_t *output = (const uint16_t *)t->output + at;
    vec sum = vec_set(0);
    EACH_VECTOR(t->head_size, {
      sum = vec_fma(load(BF16, output, i, n), load(F32, g->output_gradient + at, i, n), sum);
    });
    s->delta[row] = vec_sum(sum);
    s->log_sum_exp[row] = t->log_sum_exp[head * t->log_sum_exp_stride + start + row];
  }
}

/* Q and dO of queries start ..< start + rows as factors of all their products. */
static void load_queries(const qlora_attention_gradients *g, const backward_scratch *s, long head,
                         long start, long rows) {
  const qlora_attention *t = &g->forward;
  const long size = t->head_size;
  for (long step = 0; step < QUERY_STEPS; step++) {
    const long first = 32 * step, left = rows - first, count = left < 0 ? 0 : left < 32 ? left : 32;
    const long from = start + (left > 0 ? first : 0);
    uint16_t *queries = s->queries + first * s->wide, *outputs = s->outputs + first * s->wide;
    qlora_strip_bf16_avx512bf16(
        count, size, (const uint16_t *)t->query + from * t->query_stride + head * size,
        t->query_stride, queries);
    qlora_strip_f32_avx512bf16(
        count, size, g->output_gradient + from * t->output_stride + head * size,
        t->output_stride, outputs);
    transposed_strip(size, queries, QUERY_STEPS, step, s->transposed_queries);
    transposed_strip(size, outputs, QUERY_STEPS, step, s->transposed_outputs);
  }
  load_statistics(g, s, head, start, rows);
}

/* P and dS of one row of scores at columns n ..< n + 16; `count` keys are seen. */
QLORA_INLINE void probabilities(const backward_scratch *s, long row, long query, long n, long count,
                                float scale, __m512 *p, __m512 *ds) {
  const __mmask16 seen = first16(count - n);
  const float *score = s->scores + row * KEY_BLOCK + n;
  const float *gradient = s->score_gradients + row * KEY_BLOCK + n;
  const __m512 shift = _mm512_set1_ps(s->log_sum_exp[query]);
  const __m512 exponent = _mm512_fmsub_ps(_mm512_loadu_ps(score), _mm512_set1_ps(scale), shift);
  *p = _mm512_maskz_mov_ps(seen, vec_exp(exponent));
  *ds = _mm512_maskz_mul_ps(
      seen, *p, _mm512_sub_ps(_mm512_loadu_ps(gradient), _mm512_set1_ps(s->delta[query])));
}

/* Scores and dP of a strip at `step` become P and dS, as factors. Row r sees the first
 * `seen + slope · r` keys of the block, whose columns are cut for `width`; rows from `rows` on
 * count as zero. */
static void weigh(const backward_scratch *s, long step, long rows, long width, long seen,
                  long slope, float scale) {
  for (long row = 0; row < 32; row += 2) {
    const long query = 32 * step + row;
    for (long n = 0; n < width; n += 16) {
      __m512 p[2], ds[2];
      for (int i = 0; i < 2; i++) {
        const long count = row + i < rows ? seen + slope * (row + i) : 0;
        if (count > n) {
          probabilities(s, row + i, query + i, n, count, scale, p + i, ds + i);
        } else {
          p[i] = ds[i] = _mm512_setzero_ps();
        }
        const __m256i narrowed = (__m256i)_mm512_cvtneps_pbh(ds[i]);
        uint16_t *place = s->strip + n / 32 * QLORA_STEP_ELEMENTS
                        + (row + i) * QLORA_STEP_ROW + n % 32;
        _mm256_storeu_si256((void *)place, narrowed);
      }
      const long at = (n / 32 * QUERY_STEPS + step) * QLORA_STEP_ELEMENTS
                    + n % 32 / 16 * QLORA_HALF_ELEMENTS + row / 2 * 32;
      _mm512_storeu_si512(s->weights + at, interleaved(narrow(p[0], p[1])));
      _mm512_storeu_si512(s->weight_gradients + at, interleaved(narrow(ds[0], ds[1])));
    }
  }
}

/* Where a block of keys meets a block of queries. */
static void meet(const qlora_attention *t, const backward_scratch *s, long start, long rows,
                 long block) {
  const long left = t->keys - block, seen = t->sees_all ? left : start + rows - block;
  const long width = round_up(left < KEY_BLOCK ? left : KEY_BLOCK, 32);
  const long used = round_up(seen < width ? seen : width, 32);
  const long steps = qlora_steps(t->head_size);
  for (long step = 0; step < QUERY_STEPS; step++) {
    const long first = 32 * step, count = rows - first;
    if (count > 0) {
      qlora_matrix_part part = qlora_matrix_stretch(
          steps, s->queries + first * s->wide, s->keys + block * s->wide);
      UNIT_KERNEL(matrix_product)(1, &part, used / 32, s->scores, KEY_BLOCK, 0);
      part = qlora_matrix_stretch(
          steps, s->outputs + first * s->wide, s->values + block * s->wide);
      UNIT_KERNEL(matrix_product)(1, &part, used / 32, s->score_gradients, KEY_BLOCK, 0);
    }
    const long last = t->sees_all ? t->keys : start + first + 1;
    weigh(s, step, count, width, last - block, !t->sees_all, t->scale);
    if (count > 0) {
      qlora_matrix_part part = qlora_matrix_stretch(
          width / 32, s->strip, s->key_tokens + block * s->wide);
      UNIT_KERNEL(matrix_product)(1, &part, s->wide / 32, s->query_gradients + first * s->wide,
                               s->wide, block > 0);
    }
  }
  for (long d = 0; d < s->wide; d += 32) {
    const long strip = d * QUERY_BLOCK;
    qlora_matrix_part part =
        qlora_matrix_stretch(QUERY_STEPS, s->transposed_outputs + strip, s->weights);
    UNIT_KERNEL(matrix_product)(1, &part, used / 32, s->value_gradients + d * s->padded + block,
                             s->padded, 1);
    part =
        qlora_matrix_stretch(QUERY_STEPS, s->transposed_queries + strip, s->weight_gradients);
    UNIT_KERNEL(matrix_product)(1, &part, used / 32, s->key_gradients + d * s->padded + block,
                             s->padded, 1);
  }
}

/* x `[wide][padded]` times `scale` to rows of `out [keys][stride]`. */
static void store_transposed(const backward_scratch *s, long keys, long size, float scale,
                             const float *x, float *out, long stride) {
  for (long key = 0; key < keys; key += 16) {
    for (long d = 0; d < size; d += 16) {
      __m512 r[16];
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_ps(x + (d + i) * s->padded + key);
      transpose16(r);
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++) {
        if (key + i < keys) {
          _mm512_mask_storeu_ps(out + (key + i) * stride + d, first16(size - d),
                                _mm512_mul_ps(r[i], _mm512_set1_ps(scale)));
        }
      }
    }
  }
}

static void store_queries(const qlora_attention_gradients *g, const backward_scratch *s, long head,
                          long start, long rows) {
  const qlora_attention *t = &g->forward;
  float *out = g->query_gradient + start * t->query_stride + head * t->head_size;
  for (long row = 0; row < rows; row++) {
    EACH_VECTOR(t->head_size, {
      const vec value = load(F32, s->query_gradients + row * s->wide, i, n);
      store(F32, out + row * t->query_stride, i, n, vec_mul(value, vec_set(t->scale)));
    });
  }
}

void qlora_attention_backward_avx512(const qlora_attention_gradients *);

void UNIT_KERNEL(attention_backward)(const qlora_attention_gradients *g) {
  const qlora_attention *t = &g->forward;
  if (t->query_type != qlora_element_bf16 || t->key_type != qlora_element_bf16 ||
      t->value_type != qlora_element_bf16 || t->output_type != qlora_element_bf16 ||
      t->window > 0 || t->soft_cap > 0) {
    qlora_attention_backward_avx512(g);
    return;
  }
  const backward_scratch s = cut(t);
  columns_of_rows(t->keys, t->head_size, t->key, t->key_stride, s.keys);
  columns_of_rows(t->keys, t->head_size, t->value, t->value_stride, s.values);
  columns_of_tokens(t->keys, t->head_size, t->key, t->key_stride, KEY_BLOCK, s.key_tokens);
  memset(s.key_gradients, 0, (size_t)(2 * s.padded * s.wide) * sizeof(float));
  for (long head = 0; head < t->group; head++) {
    for (long start = 0; start < t->queries; start += QUERY_BLOCK) {
      const long left = t->queries - start, rows = left < QUERY_BLOCK ? left : QUERY_BLOCK;
      load_queries(g, &s, head, start, rows);
      const long seen = t->sees_all ? t->keys : start + rows;
      for (long block = 0; block < seen; block += KEY_BLOCK) {
        meet(t, &s, start, rows, block);
      }
      store_queries(g, &s, head, start, rows);
    }
  }
  store_transposed(&s, t->keys, t->head_size, t->scale, s.key_gradients, g->key_gradient,
                   t->key_stride);
  store_transposed(&s, t->keys, t->head_size, 1, s.value_gradients, g->value_gradient,
                   t->value_stride);
}
