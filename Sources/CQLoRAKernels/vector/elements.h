// Element-wise kernels over `vec`: the gated activation, sums and copies.
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
