// Products with few rows, as in generation, which memory bounds: from a weight as it is kept to
// sums, without a decoded one in between. A warp has one row of the weight and all tokens.

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

// Eight elements of a 4-bit weight, which lie in one block of scales and in one word of codes.
struct FewCodes {
  const FourBit &weight;
  const float *table;

  __device__ void eight(i64, i64 flat, float *values) const {
    const float scale = block_scale(weight, flat >> weight.block_shift);
    const u32 codes = *(const u32 *)(weight.packed + flat / 2);
    for (int byte = 0; byte < 4; byte++) {
      values[byte * 2] = table[codes >> (byte * 8 + 4) & 15] * scale;
      values[byte * 2 + 1] = table[codes >> (byte * 8) & 15] * scale;
    }
  }
};

// Eight elements of a weight in 8 bits.
struct FewBytes {
  const signed char *codes;
  const float *scales;

  __device__ void eight(i64 row, i64 flat, float *values) const {
    const uint2 words = *(const uint2 *)(codes + flat);
    for (int j = 0; j < 8; j++) {
      const u32 four = j < 4 ? words.x : words.y;
      values[j] = byte_value((signed char)(four >> (j % 4 * 8)), scales[row]);
    }
  }
};

// Eight elements of a dense weight, or of an input.
struct FewValues {
  const void *weight;
  int type;

  __device__ void eight(i64, i64 flat, float *values) const {
    if (type == element_f32) {
      const float4 low = ((const float4 *)weight)[flat / 4];
      const float4 high = ((const float4 *)weight)[flat / 4 + 1];
      values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
      values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
      return;
    }
    const uint4 words = ((const uint4 *)weight)[flat / 8];
    const u32 pairs[4] = {words.x, words.y, words.z, words.w};
    for (int i = 0; i < 4; i++) {
      const u16 low = (u16)pairs[i], high = (u16)(pairs[i] >> 16);
      values[i * 2] = type == element_bf16 ? bf16_float(low) : f16_float(low);
      values[i * 2 + 1] = type == element_bf16 ? bf16_float(high) : f16_float(high);
    }
  }
};

template <int most, typename Weight>
static __device__ void few_rows(const Weight &weight, const void *x, int x_type,
                                const FewEnding &ending, void *out, int out_type, i64 tokens,
                                i64 rows, i64 columns) {
  const i64 row = first_element() / 32;
  const int lane = threadIdx.x % 32;
  if (row >= rows) return;
  const FewValues input = {x, x_type};
  float sums[most];
  for (int t = 0; t < most; t++) sums[t] = 0;
  for (i64 column = lane * 8; column < columns; column += 256) {
    float values[8];
    weight.eight(row, row * columns + column, values);
#pragma unroll
    for (int t = 0; t < most; t++) {
      if (t < tokens) {
        float inputs[8];
        input.eight(t, t * columns + column, inputs);
        for (int j = 0; j < 8; j++) sums[t] += values[j] * inputs[j];
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
#define QLORA_FEW(most)                                                                         \
  QLORA_KERNEL(128, qlora_few_4bit_##most, FourBit weight, const void *x, int x_type,           \
               FewEnding ending, void *out, int out_type, i64 tokens, i64 rows, i64 columns) {  \
    __shared__ float table[16];                                                                 \
    if (threadIdx.x < 16) table[threadIdx.x] = weight.table[threadIdx.x];                       \
    __syncthreads();                                                                            \
    const FewCodes codes = {weight, table};                                                     \
    few_rows<most>(codes, x, x_type, ending, out, out_type, tokens, rows, columns);             \
  }                                                                                             \
  QLORA_KERNEL(128, qlora_few_8bit_##most, const signed char *codes, const float *scales,       \
               const void *x, int x_type, FewEnding ending, void *out, int out_type,            \
               i64 tokens, i64 rows, i64 columns) {                                             \
    const FewBytes bytes = {codes, scales};                                                     \
    few_rows<most>(bytes, x, x_type, ending, out, out_type, tokens, rows, columns);             \
  }                                                                                             \
  QLORA_KERNEL(128, qlora_few_dense_##most, const void *weight, int type, const void *x,        \
               int x_type, FewEnding ending, void *out, int out_type, i64 tokens, i64 rows,     \
               i64 columns) {                                                                   \
    const FewValues values = {weight, type};                                                    \
    few_rows<most>(values, x, x_type, ending, out, out_type, tokens, rows, columns);            \
  }

QLORA_FEW(1)
QLORA_FEW(4)
QLORA_FEW(16)
