// Element-wise kernels over `vec`: the gated activations, sums and copies.
#pragma once
#include "vector.h"

INLINE void silu_multiply(long count, const void *gate, qlora_element gate_type,
                          const void *up, qlora_element up_type, void *out,
                          qlora_element out_type) {
  EACH_VECTOR(count, {
    const vec g = load(gate_type, gate, i, n);
    const vec silu = vec_mul(g, vec_sigmoid(g));
    store(out_type, out, i, n, vec_mul(silu, load(up_type, up, i, n)));
  });
}

void KERNEL(silu_multiply)(long count, const void *gate, qlora_element gate_type,
                           const void *up, qlora_element up_type, void *out,
                           qlora_element out_type) {
  // The constants let the compiler drop the choice of type from the loops of the usual cases.
  if (gate_type == F32 && up_type == F32 && out_type == F32) {
    silu_multiply(count, gate, F32, up, F32, out, F32);
  } else if (gate_type == BF16 && up_type == BF16 && out_type == BF16) {
    silu_multiply(count, gate, BF16, up, BF16, out, BF16);
  } else {
    silu_multiply(count, gate, gate_type, up, up_type, out, out_type);
  }
}

INLINE void silu_multiply_backward(long count, const float *dy, const void *gate,
                                   qlora_element gate_type, const void *up, qlora_element up_type,
                                   float *dgate, float *dup) {
  const vec one = vec_set(1);
  EACH_VECTOR(count, {
    const vec g = load(gate_type, gate, i, n);
    const vec u = load(up_type, up, i, n);
    const vec gradient = load(F32, dy, i, n);
    const vec s = vec_sigmoid(g);
    const vec slope = vec_mul(s, vec_fma(g, vec_sub(one, s), one));
    store(F32, dgate, i, n, vec_mul(vec_mul(gradient, u), slope));
    store(F32, dup, i, n, vec_mul(gradient, vec_mul(g, s)));
  });
}

void KERNEL(silu_multiply_backward)(long count, const float *dy, const void *gate,
                                    qlora_element gate_type, const void *up,
                                    qlora_element up_type, float *dgate, float *dup) {
  if (gate_type == F32 && up_type == F32) {
    silu_multiply_backward(count, dy, gate, F32, up, F32, dgate, dup);
  } else if (gate_type == BF16 && up_type == BF16) {
    silu_multiply_backward(count, dy, gate, BF16, up, BF16, dgate, dup);
  } else {
    silu_multiply_backward(count, dy, gate, gate_type, up, up_type, dgate, dup);
  }
}

/// gelu(x) and its slope. The exact one takes Φ(−|x|) = e^(−x²/2) · p(t) / 2 with
/// t = 1 / (1 + 0.3275911·|x|/√2), within 1e-7. Abramowitz & Stegun 1964, 7.1.26.
INLINE vec gelu(const int is_tanh, vec x, vec *slope) {
  const vec one = vec_set(1), square = vec_mul(x, x);
  if (is_tanh) {
    const vec root = vec_set(2 * 0.79788456f);  // 2·√(2/π)
    const vec cubic = vec_fma(vec_mul(vec_set(0.044715f), square), x, x);
    const vec s = vec_sigmoid(vec_mul(root, cubic));
    const vec inner = vec_mul(root, vec_fma(vec_set(3 * 0.044715f), square, one));
    *slope = vec_fma(vec_mul(vec_mul(x, s), vec_sub(one, s)), inner, s);
    return vec_mul(x, s);
  }
  const vec size = vec_max(x, vec_sub(vec_set(0), x));
  const vec t = vec_div(one, vec_fma(size, vec_set(0.3275911f * 0.70710678f), one));
  vec p = vec_fma(vec_set(1.061405429f), t, vec_set(-1.453152027f));
  p = vec_fma(p, t, vec_set(1.421413741f));
  p = vec_fma(p, t, vec_set(-0.284496736f));
  p = vec_fma(p, t, vec_set(0.254829592f));
  const vec bell = vec_exp(vec_mul(square, vec_set(-0.5f)));
  const vec tail = vec_mul(vec_mul(vec_mul(p, t), bell), vec_set(0.5f));
  const vec below = vec_if_less(x, vec_set(0), tail, vec_sub(one, tail));
  *slope = vec_fma(vec_mul(x, bell), vec_set(0.39894228f), below);  // 1/√(2π)
  return vec_mul(x, below);
}

INLINE void gelu_multiply(long count, const int is_tanh, const void *gate,
                          qlora_element gate_type, const void *up, qlora_element up_type,
                          void *out, qlora_element out_type) {
  EACH_VECTOR(count, {
    vec slope;
    const vec value = gelu(is_tanh, load(gate_type, gate, i, n), &slope);
    store(out_type, out, i, n, up ? vec_mul(value, load(up_type, up, i, n)) : value);
  });
}

void KERNEL(gelu_multiply)(long count, int is_tanh, const void *gate, qlora_element gate_type,
                           const void *up, qlora_element up_type, void *out,
                           qlora_element out_type) {
  if (is_tanh) {
    gelu_multiply(count, 1, gate, gate_type, up, up_type, out, out_type);
  } else {
    gelu_multiply(count, 0, gate, gate_type, up, up_type, out, out_type);
  }
}

INLINE void gelu_multiply_backward(long count, const int is_tanh, const float *dy,
                                   const void *gate, qlora_element gate_type, const void *up,
                                   qlora_element up_type, float *dgate, float *dup) {
  EACH_VECTOR(count, {
    vec slope;
    const vec value = gelu(is_tanh, load(gate_type, gate, i, n), &slope);
    const vec gradient = load(F32, dy, i, n);
    const vec direct = up ? vec_mul(gradient, load(up_type, up, i, n)) : gradient;
    store(F32, dgate, i, n, vec_mul(direct, slope));
    if (up) store(F32, dup, i, n, vec_mul(gradient, value));
  });
}

void KERNEL(gelu_multiply_backward)(long count, int is_tanh, const float *dy, const void *gate,
                                    qlora_element gate_type, const void *up,
                                    qlora_element up_type, float *dgate, float *dup) {
  if (is_tanh) {
    gelu_multiply_backward(count, 1, dy, gate, gate_type, up, up_type, dgate, dup);
  } else {
    gelu_multiply_backward(count, 0, dy, gate, gate_type, up, up_type, dgate, dup);
  }
}

INLINE void add(long count, const void *left, qlora_element left_type, const void *right,
                qlora_element right_type, void *out, qlora_element out_type) {
  EACH_VECTOR(count, {
    const vec sum = vec_add(load(left_type, left, i, n), load(right_type, right, i, n));
    store(out_type, out, i, n, sum);
  });
}

void KERNEL(add)(long count, const void *left, qlora_element left_type, const void *right,
                 qlora_element right_type, void *out, qlora_element out_type) {
  if (left_type == F32 && right_type == F32 && out_type == F32) {
    add(count, left, F32, right, F32, out, F32);
  } else if (left_type == BF16 && right_type == BF16 && out_type == BF16) {
    add(count, left, BF16, right, BF16, out, BF16);
  } else {
    add(count, left, left_type, right, right_type, out, out_type);
  }
}

void KERNEL(convert)(long count, const void *x, qlora_element x_type, void *out,
                     qlora_element out_type) {
  EACH_VECTOR(count, store(out_type, out, i, n, load(x_type, x, i, n)));
}

void KERNEL(scale)(long count, void *x, qlora_element type, float factor) {
  EACH_VECTOR(count, store(type, x, i, n, vec_mul(load(type, x, i, n), vec_set(factor))));
}

void KERNEL(add_scaled)(long count, float factor, const void *x, qlora_element type, float *out) {
  EACH_VECTOR(count, {
    const vec sum = vec_fma(vec_set(factor), load(type, x, i, n), load(F32, out, i, n));
    store(F32, out, i, n, sum);
  });
}

float KERNEL(dot)(long count, const void *x, qlora_element type, const float *y) {
  vec sum = vec_set(0);
  EACH_VECTOR(count, sum = vec_fma(load(type, x, i, n), load(F32, y, i, n), sum));
  return vec_sum(sum);
}

double KERNEL(sum_of_squares)(long count, const void *x, qlora_element type) {
  double sums[16] = {0};
  for (long start = 0; start < count; start += 16) {
    float values[16] = {0};
    for (long lane = 0; lane < 16 && start + lane < count; lane += LANES) {
      const long left = count - start - lane;
      vec_store(values + lane, load(type, x, start + lane, left < LANES ? left : LANES));
    }
    for (int lane = 0; lane < 16; lane++) sums[lane] += (double)values[lane] * (double)values[lane];
  }
  for (int apart = 8; apart > 0; apart /= 2) {
    for (int i = 0; i < apart; i++) sums[i] += sums[i + apart];
  }
  return sums[0];
}
