// Row kernels in scalar C: the specification of the norms, their gradients and rotary. Sums over a row
// are in double precision here, so that the other instruction sets are measured against better.
#include <math.h>

#include "element.h"

void qlora_rms_norm_reference(long rows, long width, float epsilon, const void *x,
                              qlora_element x_type, const void *weight,
                              qlora_element weight_type, void *out, qlora_element out_type,
                              float *inverse_rms) {
  for (long row = 0; row < rows; row++) {
    const long base = row * width;
    double sum = 0;
    for (long i = 0; i < width; i++) {
      const double value = element_load(x_type, x, base + i);
      sum += value * value;
    }
    const float inverse = (float)(1 / sqrt(sum / (double)width + epsilon));
    inverse_rms[row] = inverse;
    for (long i = 0; i < width; i++) {
      const float normal = element_load(x_type, x, base + i) * inverse;
      element_store(out_type, out, base + i, normal * element_load(weight_type, weight, i));
    }
  }
}

void qlora_rms_norm_backward_reference(long rows, long width, const float *dy,
                                       const void *x, qlora_element x_type, const void *weight,
                                       qlora_element weight_type, const float *inverse_rms,
                                       float *dx, int accumulate) {
  for (long row = 0; row < rows; row++) {
    const long base = row * width;
    const float inverse = inverse_rms[row];
    double sum = 0;
    for (long i = 0; i < width; i++) {
      sum += (double)dy[base + i] * element_load(weight_type, weight, i)
           * element_load(x_type, x, base + i);
    }
    const float shift = (float)(inverse * inverse * inverse * sum / (double)width);
    for (long i = 0; i < width; i++) {
      const float gradient = inverse * dy[base + i] * element_load(weight_type, weight, i)
                           - shift * element_load(x_type, x, base + i);
      dx[base + i] = accumulate ? dx[base + i] + gradient : gradient;
    }
  }
}

void qlora_layer_norm_reference(long rows, long width, float epsilon, const void *x,
                                qlora_element x_type, const float *weight, const float *bias,
                                void *out, qlora_element out_type, float *statistics) {
  for (long row = 0; row < rows; row++) {
    const long base = row * width;
    double sum = 0, squares = 0;
    for (long i = 0; i < width; i++) sum += element_load(x_type, x, base + i);
    const double mean = sum / (double)width;
    for (long i = 0; i < width; i++) {
      const double value = element_load(x_type, x, base + i) - mean;
      squares += value * value;
    }
    const float inverse = (float)(1 / sqrt(squares / (double)width + epsilon));
    statistics[2 * row] = (float)mean;
    statistics[2 * row + 1] = inverse;
    for (long i = 0; i < width; i++) {
      const float normal = (element_load(x_type, x, base + i) - (float)mean) * inverse;
      element_store(out_type, out, base + i, normal * weight[i] + bias[i]);
    }
  }
}

void qlora_layer_norm_backward_reference(long rows, long width, const float *dy, const void *x,
                                         qlora_element x_type, const float *weight,
                                         const float *statistics, float *dx, int accumulate) {
  for (long row = 0; row < rows; row++) {
    const long base = row * width;
    const float mean = statistics[2 * row], inverse = statistics[2 * row + 1];
    double sum = 0, product = 0;
    for (long i = 0; i < width; i++) {
      const double g = (double)dy[base + i] * weight[i];
      sum += g;
      product += g * (element_load(x_type, x, base + i) - mean) * inverse;
    }
    const float shift = (float)(sum / (double)width), slope = (float)(product / (double)width);
    for (long i = 0; i < width; i++) {
      const float normal = (element_load(x_type, x, base + i) - mean) * inverse;
      const float gradient = inverse * (dy[base + i] * weight[i] - shift - normal * slope);
      dx[base + i] = accumulate ? dx[base + i] + gradient : gradient;
    }
  }
}

void qlora_rotary_reference(long rows, long heads, long head_size, long rotated, void *x,
                            qlora_element type, const int32_t *positions, const float *cosines,
                            const float *sines, int inverse) {
  const long half = rotated / 2;
  const float sign = inverse ? -1 : 1;
  for (long row = 0; row < rows; row++) {
    const float *cosine = cosines + positions[row] * half, *sine = sines + positions[row] * half;
    for (long head = 0; head < heads; head++) {
      const long base = (row * heads + head) * head_size;
      for (long i = 0; i < half; i++) {
        const float a = element_load(type, x, base + i), s = sign * sine[i];
        const float b = element_load(type, x, base + half + i);
        element_store(type, x, base + i, a * cosine[i] - b * s);
        element_store(type, x, base + half + i, b * cosine[i] + a * s);
      }
    }
  }
}
