// Attention in scalar C, one row at a time: the specification, without tiles.
#include <math.h>

#include "element.h"

/// How many keys a query row sees.
static long keys_of(const qlora_attention *t, long row) {
  return t->sees_all ? t->keys : t->first + row + 1;
}

/// The first of `keys` keys that the last of them sees; a window looks back only.
static long first_key(const qlora_attention *t, long keys) {
  return t->window > 0 && t->window < keys ? keys - t->window : 0;
}

/// Scores of one query row against keys `start ..< keys`.
static void scores_of(const qlora_attention *t, long head, long row, long start, long keys,
                      float *scores) {
  for (long j = start; j < keys; j++) {
    float sum = 0;
    for (long d = 0; d < t->head_size; d++) {
      sum += element_load(t->query_type, t->query,
                          row * t->query_stride + head * t->head_size + d)
           * element_load(t->key_type, t->key, j * t->key_stride + d);
    }
    scores[j] = sum * t->scale;
    if (t->soft_cap > 0) scores[j] = t->soft_cap * tanhf(scores[j] / t->soft_cap);
  }
}

void qlora_attention_reference(const qlora_attention *t) {
  float *scores = t->scratch;
  for (long head = 0; head < t->group; head++) {
    for (long row = 0; row < t->queries; row++) {
      const long keys = keys_of(t, row), start = first_key(t, keys);
      scores_of(t, head, row, start, keys, scores);
      float maximum = -INFINITY, sum = 0;
      for (long j = start; j < keys; j++) maximum = fmaxf(maximum, scores[j]);
      for (long j = start; j < keys; j++) {
        scores[j] = expf(scores[j] - maximum);
        sum += scores[j];
      }
      for (long d = 0; d < t->head_size; d++) {
        float value = 0;
        for (long j = start; j < keys; j++) {
          value += scores[j] * element_load(t->value_type, t->value, j * t->value_stride + d);
        }
        element_store(t->output_type, t->output,
                      row * t->output_stride + head * t->head_size + d, value / sum);
      }
      if (t->log_sum_exp) t->log_sum_exp[head * t->log_sum_exp_stride + row] = maximum + logf(sum);
    }
  }
}

void qlora_attention_row_reference(const qlora_attention *t) {
  qlora_attention task = *t;
  task.log_sum_exp = NULL;
  qlora_attention_reference(&task);
}

void qlora_attention_backward_reference(const qlora_attention_gradients *g) {
  const qlora_attention *t = &g->forward;
  float *scores = t->scratch;
  for (long j = 0; j < t->keys; j++) {
    for (long d = 0; d < t->head_size; d++) {
      g->key_gradient[j * t->key_stride + d] = 0;
      g->value_gradient[j * t->value_stride + d] = 0;
    }
  }
  for (long head = 0; head < t->group; head++) {
    for (long row = 0; row < t->queries; row++) {
      const long base = row * t->query_stride + head * t->head_size, keys = keys_of(t, row);
      const long start = first_key(t, keys);
      const long output = row * t->output_stride + head * t->head_size;
      const float *dy = g->output_gradient + output;
      float *dq = g->query_gradient + base;
      float delta = 0;
      for (long d = 0; d < t->head_size; d++) {
        delta += dy[d] * element_load(t->output_type, t->output, output + d);
        dq[d] = 0;
      }
      scores_of(t, head, row, start, keys, scores);
      for (long j = start; j < keys; j++) {
        const float p = expf(scores[j] - t->log_sum_exp[head * t->log_sum_exp_stride + row]);
        float *dk = g->key_gradient + j * t->key_stride;
        float *dv = g->value_gradient + j * t->value_stride;
        float dp = 0;
        for (long d = 0; d < t->head_size; d++) {
          dp += dy[d] * element_load(t->value_type, t->value, j * t->value_stride + d);
        }
        const float bent = t->soft_cap > 0 ? scores[j] / t->soft_cap : 0;
        const float ds = p * (dp - delta) * (1 - bent * bent) * t->scale;
        for (long d = 0; d < t->head_size; d++) {
          dv[d] += p * dy[d];
          dk[d] += ds * element_load(t->query_type, t->query, base + d);
          dq[d] += ds * element_load(t->key_type, t->key, j * t->key_stride + d);
        }
      }
    }
  }
}
