// Element-wise kernels in scalar C: the specification of the gated activation, sums and copies.
#include <math.h>

#include "element.h"

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

void qlora_silu_multiply_reference(long count, const void *gate, qlora_element gate_type,
                                   const void *up, qlora_element up_type, void *out,
                                   qlora_element out_type) {
  for (long i = 0; i < count; i++) {
    const float g = element_load(gate_type, gate, i);
    element_store(out_type, out, i, g * sigmoid(g) * element_load(up_type, up, i));
  }
}

void qlora_silu_multiply_backward_reference(long count, const float *dy, const void *gate,
                                            qlora_element gate_type, const void *up,
                                            qlora_element up_type, float *dgate, float *dup) {
  for (long i = 0; i < count; i++) {
    const float g = element_load(gate_type, gate, i), u = element_load(up_type, up, i);
    const float s = sigmoid(g), gradient = dy[i];
    dgate[i] = gradient * u * (s * (1 + g * (1 - s)));
    dup[i] = gradient * (g * s);
  }
}

void qlora_add_reference(long count, const void *left, qlora_element left_type,
                         const void *right, qlora_element right_type, void *out,
                         qlora_element out_type) {
  for (long i = 0; i < count; i++) {
    element_store(out_type, out, i,
                  element_load(left_type, left, i) + element_load(right_type, right, i));
  }
}

void qlora_convert_reference(long count, const void *x, qlora_element x_type, void *out,
                             qlora_element out_type) {
  for (long i = 0; i < count; i++) {
    element_store(out_type, out, i, element_load(x_type, x, i));
  }
}

void qlora_scale_reference(long count, void *x, qlora_element type, float factor) {
  for (long i = 0; i < count; i++) {
    element_store(type, x, i, element_load(type, x, i) * factor);
  }
}

double qlora_sum_of_squares_reference(long count, const void *x, qlora_element type) {
  double sums[16] = {0};
  for (long i = 0; i < count; i++) {
    const double value = element_load(type, x, i);
    sums[i % 16] += value * value;  // exact: a float has 24 bits, a double 53
  }
  for (int apart = 8; apart > 0; apart /= 2) {
    for (int i = 0; i < apart; i++) sums[i] += sums[i + apart];
  }
  return sums[0];
}
