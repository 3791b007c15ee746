// The optimizers over `vec`, with each rounding where the specification in reference/optimizers.c
// has it.
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
    const vec first = k.first_decay != 0
                        ? vec_fma(vec_set(k.first_weight), g, vec_mul(m, vec_set(k.first_decay)))
                        : vec_fma(first_weight, vec_sub(g, m), near_moment ? m : g);
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

void KERNEL(lion)(long count, float *parameter, const float *gradient, float *mean,
                  const qlora_lion_constants *constants) {
  const qlora_lion_constants k = *constants;
  const vec zero = vec_set(0), rate = vec_set(k.rate), negative_rate = vec_set(-k.rate);
  EACH_VECTOR(count, {
    const vec g = load(F32, gradient, i, n);
    const vec m = load(F32, mean, i, n);
    const vec p = load(F32, parameter, i, n);
    const vec kept = vec_mul(m, vec_set(k.beta1));
    const vec direction = vec_add(kept, vec_mul(g, vec_set(k.update_weight)));
    const vec negative = vec_if_less(direction, zero, negative_rate, zero);
    const vec step = vec_if_less(zero, direction, rate, negative);
    store(F32, parameter, i, n, vec_sub(vec_mul(p, vec_set(k.decay)), step));
    store(F32, mean, i, n, vec_fma(vec_set(k.mean_weight), g, vec_mul(m, vec_set(k.beta2))));
  });
}

void KERNEL(sgd)(long count, float *parameter, const float *gradient, float *mean,
                 const qlora_sgd_constants *constants) {
  const qlora_sgd_constants k = *constants;
  EACH_VECTOR(count, {
    const vec p = load(F32, parameter, i, n);
    vec g = vec_fma(vec_set(k.weight_decay), p, load(F32, gradient, i, n));
    if (mean) {
      g = vec_add(vec_mul(load(F32, mean, i, n), vec_set(k.momentum)), g);
      store(F32, mean, i, n, g);
    }
    store(F32, parameter, i, n, vec_fma(vec_set(k.negative_rate), g, p));
  });
}
