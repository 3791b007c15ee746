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

static float gelu(int is_tanh, float x, float *slope) {
  const float root = 0.79788456f;  // √(2/π)
  if (is_tanh) {
    const float s = sigmoid(2 * root * (x + 0.044715f * x * x * x));
    *slope = s + x * s * (1 - s) * 2 * root * (1 + 3 * 0.044715f * x * x);
    return x * s;
  }
  const float below = 0.5f * erfcf(-x * 0.70710678f);
  *slope = below + x * 0.39894228f * expf(-x * x / 2);  // 1/√(2π)
  return x * below;
}

void qlora_gelu_multiply_reference(long count, int is_tanh, const void *gate,
                                   qlora_element gate_type, const void *up, qlora_element up_type,
                                   void *out, qlora_element out_type) {
  for (long i = 0; i < count; i++) {
    float slope;
    const float value = gelu(is_tanh, element_load(gate_type, gate, i), &slope);
    element_store(out_type, out, i, up ? value * element_load(up_type, up, i) : value);
  }
}

void qlora_gelu_multiply_backward_reference(long count, int is_tanh, const float *dy,
                                            const void *gate, qlora_element gate_type,
                                            const void *up, qlora_element up_type, float *dgate,
                                            float *dup) {
  for (long i = 0; i < count; i++) {
    float slope;
    const float value = gelu(is_tanh, element_load(gate_type, gate, i), &slope);
    const float gradient = dy[i];
    dgate[i] = up ? gradient * element_load(up_type, up, i) * slope : gradient * slope;
    if (up) dup[i] = gradient * value;
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

void qlora_add_scaled_reference(long count, float factor, const void *x, qlora_element type,
                                float *out) {
  for (long i = 0; i < count; i++) out[i] += factor * element_load(type, x, i);
}

float qlora_dot_reference(long count, const void *x, qlora_element type, const float *y) {
  double sum = 0;
  for (long i = 0; i < count; i++) sum += (double)element_load(type, x, i) * y[i];
  return (float)sum;
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
