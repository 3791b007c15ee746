// Routing tokens to experts, and the weighted sums of what experts put out.
static constexpr int route_threads = 32, sum_threads = 256;

// A logit that is no number comes after all others.
static __device__ inline float routed(float logit) {
  return logit == logit ? logit : bits_float(0xFF800000);
}

// One warp for each row of logits [tokens][count]: the `chosen` largest, the first of equals first,
// and their probabilities, among themselves where `normalized`.
QLORA_KERNEL(32, qlora_route, const float *logits, i64 count, int chosen, int normalized,
             int *experts, float *weights) {
  __shared__ Largest places[1];
  __shared__ float scratch[1];
  const float *row = logits + (i64)blockIdx.x * count;
  const i64 base = (i64)blockIdx.x * chosen;
  Largest last = {bits_float(0x7F800000), -1};
  float top = 0, sum = 0;
  for (int choice = 0; choice < chosen; choice++) {
    Largest mine = {bits_float(0xFF800000), 0x7FFFFFFF};
    for (int i = threadIdx.x; i < count; i += route_threads) {
      const Largest other = {routed(row[i]), i};
      const bool is_left =
          other.value < last.value || (other.value == last.value && i > last.place);
      if (is_left) mine = larger(mine, other);
    }
    last = block_largest<route_threads>(mine, places);
    if (choice == 0) top = row[last.place];
    sum += expf(row[last.place] - top);
    if (threadIdx.x == 0) {
      experts[base + choice] = last.place;
      weights[base + choice] = expf(row[last.place] - top);
    }
  }
  if (!normalized) {
    sum = 0;
    for (int i = threadIdx.x; i < count; i += route_threads) sum += expf(row[i] - top);
    sum = block_sum<route_threads>(sum, scratch);
  }
  if (threadIdx.x != 0) return;
  for (int choice = 0; choice < chosen; choice++) weights[base + choice] /= sum;
}

// Of a softmax p over those that count, dz = p·(dp − Σ p·dp). One warp for each token.
QLORA_KERNEL(32, qlora_route_backward, const float *gradient, const float *logits, i64 count,
             const int *experts, const float *weights, int chosen, int normalized,
             float *logit_gradient) {
  const i64 row = (i64)blockIdx.x * count, base = (i64)blockIdx.x * chosen;
  float mean = 0;
  for (int choice = 0; choice < chosen; choice++) {
    mean += weights[base + choice] * gradient[base + choice];
  }
  const float top = logits[row + experts[base]];
  for (int i = threadIdx.x; i < count; i += route_threads) {
    float value = normalized ? 0 : -expf(logits[row + i] - top) * weights[base] * mean;
    for (int choice = 0; choice < chosen; choice++) {
      if (experts[base + choice] != i) continue;
      const float change = gradient[base + choice] - (normalized ? mean : 0);
      value += weights[base + choice] * change;
    }
    logit_gradient[row + i] = value;
  }
}

// out [tokens][width] = (+ itself) Σ over choices, in their order, of weight · x [place].
QLORA_KERNEL(256, qlora_weighted_rows, const void *x, int x_type, const int *places,
             const float *weights, void *out, int out_type, i64 tokens, i64 width, i64 chosen,
             int accumulating) {
  for (i64 i = first_element(); i < tokens * width; i += element_step()) {
    const i64 token = i / width, column = i % width;
    float sum = accumulating ? ((const float *)out)[i] : 0;
    for (i64 choice = token * chosen; choice < (token + 1) * chosen; choice++) {
      const float value = load_element(x, x_type, places[choice] * width + column);
      sum += (weights ? weights[choice] : 1) * value;
    }
    store_element(out, out_type, i, sum);
  }
}

// One block for each choice; no row of x may be named twice.
QLORA_KERNEL(256, qlora_weighted_rows_backward, const float *gradient, const void *x, int x_type,
             const int *places, const float *weights, float *x_gradient, float *weight_gradient,
             i64 width, i64 chosen) {
  __shared__ float scratch[sum_threads / 32];
  const i64 choice = blockIdx.x, from = choice / chosen * width, place = places[choice] * width;
  const float weight = weights[choice];
  float sum = 0;
  for (i64 i = threadIdx.x; i < width; i += sum_threads) {
    const float dy = gradient[from + i];
    sum += load_element(x, x_type, place + i) * dy;
    x_gradient[place + i] = weight * dy;
  }
  sum = block_sum<sum_threads>(sum, scratch);
  if (threadIdx.x == 0) weight_gradient[choice] = sum;
}
