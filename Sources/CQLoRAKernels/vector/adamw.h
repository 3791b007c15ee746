// AdamW over `vec`, with each rounding where the specification in reference/adamw.c has it.
#pragma once
#include <math.h>

#include "vector.h"

void KERNEL(adamw)(long count, float *parameter, const float *gradient, float *first_moment,
                   float *second_moment, const qlora_adamw_constants *constants) {
  const qlora_adamw_constants k = *constants;
  const int near_moment = fabsf(k.first_weight) < 0.5f;
  const vec first_weight = vec_set(near_moment ? k.first_weight : k.first_weight - 1);
  EACH_VECTOR(count, {
    const vec g = load(F32, gradient, i, n);
    const vec m = load(F32, first_moment, i, n);
    const vec v = load(F32, second_moment, i, n);
    const vec p = load(F32, parameter, i, n);
    const vec first = vec_fma(first_weight, vec_sub(g, m), near_moment ? m : g);
    const vec weighted = vec_mul(vec_set(k.second_weight), g);
    const vec second = vec_fma(weighted, g, vec_mul(v, vec_set(k.beta2)));
    const vec root = vec_div(vec_sqrt(second), vec_set(k.correction2_root));
    const vec denominator = vec_add(root, vec_set(k.epsilon));
    const vec step = vec_div(vec_mul(vec_set(k.negative_step_size), first), denominator);
    store(F32, first_moment, i, n, first);
    store(F32, second_moment, i, n, second);
    store(F32, parameter, i, n, vec_add(vec_mul(p, vec_set(k.decay)), step));
  });
}
