// What a softmax over a vocabulary needs, down the lanes of a tile of 48 tokens, over `vec`.
#pragma once
#include "vector.h"

enum { softmax_lanes = 48 };

void KERNEL(lane_max)(long rows, const float *c, float *largest, int32_t *row) {
  for (long lane = 0; lane < softmax_lanes; lane += LANES) {
    // Rows as floats, exact below 2^24.
    vec best = vec_load(c + lane), where = vec_set(0);
    for (long i = 1; i < rows; i++) {
      const vec value = vec_load(c + i * softmax_lanes + lane);
      where = vec_if_less(best, value, vec_set((float)i), where);
      best = vec_if_less(best, value, value, best);
    }
    float places[LANES];
    vec_store(places, where);
    for (int i = 0; i < LANES; i++) row[lane + i] = (int32_t)places[i];
    vec_store(largest + lane, best);
  }
}

void KERNEL(lane_exp_sum)(long rows, const float *c, const float *shift, float *sum) {
  for (long lane = 0; lane < softmax_lanes; lane += LANES) {
    const vec by = vec_load(shift + lane);
    vec total = vec_set(0);
    for (long i = 0; i < rows; i++) {
      total = vec_add(total, vec_exp(vec_sub(vec_load(c + i * softmax_lanes + lane), by)));
    }
    vec_store(sum + lane, total);
  }
}

void KERNEL(lane_exp)(long rows, float *c, const float *shift) {
  for (long lane = 0; lane < softmax_lanes; lane += LANES) {
    const vec by = vec_load(shift + lane);
    for (long i = 0; i < rows; i++) {
      float *place = c + i * softmax_lanes + lane;
      vec_store(place, vec_exp(vec_sub(vec_load(place), by)));
    }
  }
}

void KERNEL(cap)(long count, float *c, float cap) {
  EACH_VECTOR(count, {
    const vec bent = vec_tanh(vec_mul(load(F32, c, i, n), vec_set(1 / cap)));
    store(F32, c, i, n, vec_mul(bent, vec_set(cap)));
  });
}

void KERNEL(lane_exp_capped)(long rows, float *c, const float *shift, float cap) {
  for (long lane = 0; lane < softmax_lanes; lane += LANES) {
    const vec by = vec_load(shift + lane);
    for (long i = 0; i < rows; i++) {
      float *place = c + i * softmax_lanes + lane;
      const vec bent = vec_mul(vec_load(place), vec_set(1 / cap));
      const vec slope = vec_fnma(bent, bent, vec_set(1));
      vec_store(place, vec_mul(vec_exp(vec_sub(vec_load(place), by)), slope));
    }
  }
}
