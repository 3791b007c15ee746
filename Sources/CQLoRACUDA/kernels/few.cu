// Products with few rows, as in generation, which memory bounds: from 4-bit codes to sums without a
// decoded weight in between. A warp has one row of the weight and all tokens.

// projected [tokens][rank] = x · Aᵀ; a warp has one element.
QLORA_KERNEL(128, qlora_few_project, const void *x, int x_type, const float *a, float *projected,
             i64 tokens, i64 rank, i64 columns) {
  const i64 item = first_element() / 32;
  const int lane = threadIdx.x % 32;
  if (item >= tokens * rank) return;
  const i64 token = item / rank, row = item % rank;
  float sum = 0;
  for (i64 i = lane; i < columns; i += 32) {
    sum += load_element(x, x_type, token * columns + i) * a[row * columns + i];
  }
  sum = warp_sum(sum);
  if (lane == 0) projected[item] = sum;
}

// What is added to a product before it is stored.
struct FewEnding {
  const float *bias;
  const float *projected;
  const float *b;
  float scale;
  int rank;
};

static __device__ inline float few_ending(const FewEnding &ending, i64 token, i64 row) {
  float sum = 0;
  for (int i = 0; i < ending.rank; i++) {
    sum += ending.projected[token * ending.rank + i] * ending.b[row * ending.rank + i];
  }
  return ending.scale * sum + (ending.bias ? ending.bias[row] : 0);
}

template <int most>
static __device__ void few_4bit(const FourBit &weight, const void *x, int x_type,
                                const FewEnding &ending, void *out, int out_type, i64 tokens,
                                i64 rows, i64 columns) {
  __shared__ float table[16];
  if (threadIdx.x < 16) table[threadIdx.x] = weight.table[threadIdx.x];
  __syncthreads();
  const i64 row = first_element() / 32;
  const int lane = threadIdx.x % 32;
  if (row >= rows) return;
  float sums[most];
  for (int t = 0; t < most; t++) sums[t] = 0;
  // Eight columns of a lane lie in one block of scales and in one word of codes.
  for (i64 column = lane * 8; column < columns; column += 256) {
    const i64 flat = row * columns + column;
    const float scale = block_scale(weight, flat >> weight.block_shift);
    const u32 codes = *(const u32 *)(weight.packed + flat / 2);
    float values[8];
    for (int byte = 0; byte < 4; byte++) {
      values[byte * 2] = table[codes >> (byte * 8 + 4) & 15] * scale;
      values[byte * 2 + 1] = table[codes >> (byte * 8) & 15] * scale;
    }
#pragma unroll
    for (int t = 0; t < most; t++) {
      if (t < tokens) {
        for (int j = 0; j < 8; j++) {
          sums[t] += values[j] * load_element(x, x_type, t * columns + column + j);
        }
      }
    }
  }
#pragma unroll
  for (int t = 0; t < most; t++) {
    const float sum = warp_sum(sums[t]);
    if (lane == 0 && t < tokens) {
      store_element(out, out_type, t * rows + row, sum + few_ending(ending, t, row));
    }
  }
}

// out [tokens][rows] = x · Wᵀ + ending, for a multiple of 8 columns.
QLORA_KERNEL(128, qlora_few_4bit_1, FourBit weight, const void *x, int x_type, FewEnding ending,
             void *out, int out_type, i64 tokens, i64 rows, i64 columns) {
  few_4bit<1>(weight, x, x_type, ending, out, out_type, tokens, rows, columns);
}

QLORA_KERNEL(128, qlora_few_4bit_4, FourBit weight, const void *x, int x_type, FewEnding ending,
             void *out, int out_type, i64 tokens, i64 rows, i64 columns) {
  few_4bit<4>(weight, x, x_type, ending, out, out_type, tokens, rows, columns);
}

QLORA_KERNEL(128, qlora_few_4bit_16, FourBit weight, const void *x, int x_type, FewEnding ending,
             void *out, int out_type, i64 tokens, i64 rows, i64 columns) {
  few_4bit<16>(weight, x, x_type, ending, out, out_type, tokens, rows, columns);
}
