// The optimizers in scalar C: the specification, with each rounding where PyTorch has it (AdamW,
// gradient descent) or bitsandbytes (Lion, and AdamW with `first_decay`).
#include <math.h>

#include "element.h"

// A sum and its product must round apart here, whatever the compiler may fuse elsewhere.
#pragma STDC FP_CONTRACT OFF

void qlora_adamw_reference(long count, float *parameter, const float *gradient,
                           float *first_moment, float *second_moment,
                           const qlora_adamw_constants *constants) {
  const qlora_adamw_constants k = *constants;
  // Interpolation starts from the nearer end, so that a weight of 1 gives the gradient exactly.
  const int near_moment = fabsf(k.first_weight) < 0.5f;
  for (long i = 0; i < count; i++) {
    const float g = gradient[i], m = first_moment[i];
    const float first = k.first_decay != 0 ? fmaf(k.first_weight, g, m * k.first_decay)
                      : near_moment ? fmaf(k.first_weight, g - m, m)
                                    : fmaf(k.first_weight - 1, g - m, g);
    const float second = fmaf(k.second_weight * g, g, second_moment[i] * k.beta2);
    const float root = sqrtf(second) / k.correction2_root + k.epsilon;
    first_moment[i] = first;
    second_moment[i] = second;
    parameter[i] = parameter[i] * k.decay + k.negative_step_size * first / root;
  }
}

void qlora_lion_reference(long count, float *parameter, const float *gradient, float *mean,
                          const qlora_lion_constants *constants) {
  const qlora_lion_constants k = *constants;
  for (long i = 0; i < count; i++) {
    const float g = gradient[i], m = mean[i];
    const float direction = m * k.beta1 + g * k.update_weight;
    const float step = direction > 0 ? k.rate : direction < 0 ? -k.rate : 0;
    parameter[i] = parameter[i] * k.decay - step;
    mean[i] = fmaf(k.mean_weight, g, m * k.beta2);
  }
}

void qlora_sgd_reference(long count, float *parameter, const float *gradient, float *mean,
                         const qlora_sgd_constants *constants) {
  const qlora_sgd_constants k = *constants;
  for (long i = 0; i < count; i++) {
    float g = fmaf(k.weight_decay, parameter[i], gradient[i]);
    if (mean) g = mean[i] = mean[i] * k.momentum + g;
    parameter[i] = fmaf(k.negative_rate, g, parameter[i]);
  }
}
