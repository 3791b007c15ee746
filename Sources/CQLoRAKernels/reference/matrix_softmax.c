/* The softmax of a stretch of the vocabulary, row by row, in scalar C: the oracle. */
#include "../matrix_slots.h"

#include <math.h>
#include <string.h>

#include "element.h"

void qlora_matrix_softmax_reference(long rows, long columns, const float *c, long stride,
                                    long first, qlora_softmax_row *state, float *factors,
                                    uint16_t *out) {
  if (out) memset(out, 0, (size_t)qlora_steps(columns) * QLORA_STEP_ELEMENTS * sizeof *out);
  for (long row = 0; row < rows; row++) {
    const float *logits = c + row * stride;
    qlora_softmax_row *at = state + row;
    const float before = at->largest;
    const long target = at->target - first;
    for (long n = 0; n < columns; n++) {
      if (logits[n] > at->largest) {
        at->largest = logits[n];
        at->winner = (int32_t)(first + n);
      }
    }
    double sum = 0;
    for (long n = 0; n < columns; n++) {
      const float weight = n == target ? 0 : expf(logits[n] - at->largest);
      sum += weight;
      if (out) out[n / 32 * QLORA_STEP_ELEMENTS + row * QLORA_STEP_ROW + n % 32] =
          bf16_from_float(weight);
    }
    const float factor = before == at->largest ? 1 : expf(before - at->largest);
    at->others = at->others * factor + sum;
    if (target >= 0 && target < columns) at->target_logit = logits[target];
    if (out) factors[row] = factor;
  }
}
