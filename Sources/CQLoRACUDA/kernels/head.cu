// The output head: softmax over the vocabulary, one block for each row of logits, and the choice of
// the likeliest token.
static constexpr int head_threads = 256, head_warps = head_threads / 32;

// What a thread knows of the logits that it has seen: the largest, and Σ exp(logit − largest).
// Source: Milakov & Gimelshein 2018, "Online normalizer calculation for softmax", arXiv:1805.02867.
struct SoftmaxSum {
  // Finite, so that logits of −∞ alone make no difference of infinities.
  Largest largest = {-3.402823466e38f, 0x7FFFFFFF};
  double sum = 0;

  template <int n> __device__ void take(const Elements<n> &logits, i64 first) {
    const float before = largest.value;
    for (int i = 0; i < n; i++) {
      // Places ascend, so of equals the first one stays.
      if (logits.at[i] > largest.value) largest = {logits.at[i], (int)first + i};
    }
    float part = 0;
    for (int i = 0; i < n; i++) part += expf(logits.at[i] - largest.value);
    if (largest.value > before) sum *= expf(before - largest.value);
    sum += part;
  }
};

// losses [rows] = −log softmax(logits)[target]; `winners` and `gradient` (softmax − onehot, rows of
// `gradient_width`) where they are wanted. The gradient may lie over float32 logits; it is that of
// the logits before they were capped at `cap`.
QLORA_KERNEL(256, qlora_softmax_loss, const float *logits, i64 vocabulary, const int *targets,
             double *losses, int *winners, void *gradient, int gradient_type, i64 gradient_width,
             float cap) {
  __shared__ Largest places[head_warps];
  __shared__ double scratch[head_warps];
  const i64 row = blockIdx.x, base = row * vocabulary;
  const bool whole = vocabulary % piece == 0 && is_whole(logits)
                  && is_whole(gradient, gradient_type, gradient_width);
  SoftmaxSum mine;
  for_row(vocabulary, whole, Lanes<head_threads>(), [&](i64 i, auto part) {
    mine.take(load(logits, element_f32, base + i, part), i);
  });
  const Largest largest = block_largest<head_threads>(mine.largest, places);
  const double part = mine.sum * expf(mine.largest.value - largest.value);
  const double log_sum = (double)largest.value + log(block_sum<head_threads>(part, scratch));
  const int target = targets[row];
  if (threadIdx.x == 0) {
    losses[row] = log_sum - (double)logits[base + target];
    if (winners) winners[row] = largest.place == 0x7FFFFFFF ? 0 : largest.place;
  }
  if (!gradient) return;
  __syncthreads();
  const float shift = (float)log_sum;
  for_row(vocabulary, whole, Lanes<head_threads>(), [&](i64 i, auto part) {
    auto values = load(logits, element_f32, base + i, part);
    for (int j = 0; j < part.count; j++) {
      const float logit = values.at[j], probability = expf(logit - shift);
      values.at[j] = (i + j == target ? probability - 1 : probability) * cap_slope(logit, cap);
    }
    store(gradient, gradient_type, row * gradient_width + i, values);
  });
}

// The lowest place of the largest of `count` values; one block.
static constexpr int choice_threads = 1024;
QLORA_KERNEL(1024, qlora_likeliest, const float *values, i64 count, int *place) {
  __shared__ Largest places[choice_threads / 32];
  Largest mine = {bits_float(0xFF800000), 0x7FFFFFFF};
  for (i64 i = threadIdx.x; i < count; i += choice_threads) {
    const Largest other = {values[i], (int)i};
    mine = larger(mine, other);
  }
  mine = block_largest<choice_threads>(mine, places);
  if (threadIdx.x == 0) *place = mine.place == 0x7FFFFFFF ? 0 : mine.place;
}
