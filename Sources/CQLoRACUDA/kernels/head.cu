// The output head: softmax over the vocabulary, one block for each row of logits, and the choice of
// the likeliest token.
static constexpr int head_threads = 256;

// losses [rows] = −log softmax(logits)[target]; `winners` and `gradient` (softmax − onehot, rows of
// `gradient_width`) where they are wanted. The gradient may lie over float32 logits; it is that of
// the logits before they were capped at `cap`.
QLORA_KERNEL(256, qlora_softmax_loss, const float *logits, i64 vocabulary, const int *targets,
             double *losses, int *winners, void *gradient, int gradient_type, i64 gradient_width,
             float cap) {
  __shared__ Largest places[head_threads];
  __shared__ double scratch[head_threads];
  const i64 base = (i64)blockIdx.x * vocabulary;
  Largest mine = {bits_float(0xFF800000), 0x7FFFFFFF};
  for (i64 i = threadIdx.x; i < vocabulary; i += head_threads) {
    const Largest other = {logits[base + i], (int)i};
    mine = larger(mine, other);
  }
  mine = block_largest<head_threads>(mine, places);
  double sum = 0;
  for (i64 i = threadIdx.x; i < vocabulary; i += head_threads) {
    sum += expf(logits[base + i] - mine.value);
  }
  sum = block_sum<head_threads>(sum, scratch);
  const double log_sum = (double)mine.value + log(sum);
  const int target = targets[blockIdx.x];
  if (threadIdx.x == 0) {
    losses[blockIdx.x] = log_sum - (double)logits[base + target];
    if (winners) winners[blockIdx.x] = mine.place == 0x7FFFFFFF ? 0 : mine.place;
  }
  if (!gradient) return;
  __syncthreads();
  const float shift = (float)log_sum;
  const i64 place = (i64)blockIdx.x * gradient_width;
  for (i64 i = threadIdx.x; i < vocabulary; i += head_threads) {
    const float logit = logits[base + i], probability = expf(logit - shift);
    const float value = (i == target ? probability - 1 : probability) * cap_slope(logit, cap);
    store_element(gradient, gradient_type, place + i, value);
  }
}

// The lowest place of the largest of `count` values; one block.
static constexpr int choice_threads = 1024;
QLORA_KERNEL(1024, qlora_likeliest, const float *values, i64 count, int *place) {
  __shared__ Largest places[choice_threads];
  Largest mine = {bits_float(0xFF800000), 0x7FFFFFFF};
  for (i64 i = threadIdx.x; i < count; i += choice_threads) {
    const Largest other = {values[i], (int)i};
    mine = larger(mine, other);
  }
  mine = block_largest<choice_threads>(mine, places);
  if (threadIdx.x == 0) *place = mine.place == 0x7FFFFFFF ? 0 : mine.place;
}
