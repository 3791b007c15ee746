// What image models need over columns and rows of scores, in scalar C: the specification. Sums are
// in double precision here, so that the other instruction sets are measured against better.
#include <math.h>

#include "element.h"

void qlora_logistic_multiply_reference(long count, float steepness, const void *x,
                                       qlora_element x_type, void *out, qlora_element out_type) {
  for (long i = 0; i < count; i++) {
    const float value = element_load(x_type, x, i);
    element_store(out_type, out, i, value / (1 + expf(-steepness * value)));
  }
}

void qlora_column_moments_reference(long rows, long width, const float *x, const float *centre,
                                    float *sums, float *squares) {
  for (long i = 0; i < width; i++) {
    double sum = 0, square = 0;
    for (long row = 0; row < rows; row++) {
      const double value = (double)x[row * width + i] - centre[i];
      sum += value;
      square += value * value;
    }
    sums[i] += (float)sum;
    squares[i] += (float)square;
  }
}

void qlora_column_affine_reference(long rows, long width, const float *x, const float *centre,
                                   const float *scale, const float *shift, int activates,
                                   void *out, qlora_element out_type) {
  for (long row = 0; row < rows; row++) {
    for (long i = 0; i < width; i++) {
      const float value = (x[row * width + i] - centre[i]) * scale[i] + shift[i];
      element_store(out_type, out, row * width + i,
                    activates ? value / (1 + expf(-value)) : value);
    }
  }
}

void qlora_softmax_row_reference(long count, float scale, float *scores, const float *bias,
                                 void *out, qlora_element out_type) {
  float peak = -INFINITY;
  for (long i = 0; i < count; i++) {
    scores[i] = scores[i] * scale + (bias ? bias[i] : 0);
    if (scores[i] > peak) peak = scores[i];
  }
  double sum = 0;
  for (long i = 0; i < count; i++) {
    scores[i] = expf(scores[i] - peak);
    sum += scores[i];
  }
  for (long i = 0; i < count; i++) element_store(out_type, out, i, (float)(scores[i] / sum));
}
