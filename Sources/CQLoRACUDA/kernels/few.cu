// Products with few rows, as in generation, which memory bounds: from weights as they are kept to
// sums, without decoded ones in between. A launch serves all weights that read the same input.

// What is added to a product before it is stored: a bias, and an adapter's scale · (x · Aᵀ) · Bᵀ.
struct FewEnding {
  const float *bias;
  const float *a;
  const float *b;
  // [tokens][rank]
  float *projected;
  float scale;
  int rank;
};

// One of the weights [rows][columns]: 4 bits, 8 bits or dense.
struct FewTerm {
  FourBit four_bit;
  // In 8 bits with the rows' scales, or dense of `type`.
  const void *values;
  const float *scales;
  FewEnding ending;
  void *out;
  int type, out_type, rows;
};

static constexpr int most_few_terms = 4;

struct FewTerms {
  FewTerm at[most_few_terms];
  const void *x;
  int x_type, tokens, columns;
};

// projected = x · Aᵀ, a block for each element. Grid: the most elements that a term has; terms.
static constexpr int project_threads = 128;
QLORA_KERNEL(128, qlora_few_project, const __grid_constant__ FewTerms terms) {
  __shared__ float scratch[project_threads / 32];
  const FewEnding &ending = terms.at[blockIdx.y].ending;
  const int item = blockIdx.x, columns = terms.columns;
  if (item >= terms.tokens * ending.rank) return;
  const DenseEights input = {terms.x, terms.x_type}, a = {ending.a, element_f32};
  const i64 from = (i64)(item / ending.rank) * columns;
  const i64 row = (i64)(item % ending.rank) * columns;
  float sum = 0;
#pragma unroll 4
  for (int column = threadIdx.x * 8; column < columns; column += project_threads * 8) {
    float inputs[8], factors[8];
    input.eight(0, from + column, inputs);
    a.eight(0, row + column, factors);
    for (int j = 0; j < 8; j++) sum += inputs[j] * factors[j];
  }
  sum = block_sum<project_threads>(sum, scratch);
  if (threadIdx.x == 0) ending.projected[item] = sum;
}

static __device__ inline float few_ending(const FewEnding &ending, int token, int row) {
  const float *projected = ending.projected + (i64)token * ending.rank;
  const float *b = ending.b + (i64)row * ending.rank;
  float sum = 0;
#pragma unroll 16
  for (int i = 0; i < ending.rank; i++) sum += projected[i] * b[i];
  return ending.scale * sum + (ending.bias ? ending.bias[row] : 0);
}

// A warp has one row of the weight and all tokens.
template <int most, typename Weight>
static __device__ inline void few_rows(const Weight &weight, const FewTerms &terms,
                                       const FewTerm &term) {
  const int row = (int)(first_element() / 32), lane = threadIdx.x % 32, columns = terms.columns;
  if (row >= term.rows) return;
  const DenseEights input = {terms.x, terms.x_type};
  const i64 begin = (i64)row * columns;
  float sums[most];
  for (int t = 0; t < most; t++) sums[t] = 0;
  for (int column = lane * 8; column < columns; column += 256) {
    float values[8];
    weight.eight(row, begin + column, values);
#pragma unroll
    for (int t = 0; t < most; t++) {
      if (t < terms.tokens) {
        float inputs[8];
        input.eight(t, (i64)t * columns + column, inputs);
        for (int j = 0; j < 8; j++) sums[t] += values[j] * inputs[j];
      }
    }
  }
#pragma unroll
  for (int t = 0; t < most; t++) {
    const float sum = warp_sum(sums[t]);
    if (lane == 0 && t < terms.tokens) {
      store_element(term.out, term.out_type, (i64)t * term.rows + row,
                    sum + few_ending(term.ending, t, row));
    }
  }
}

// out [tokens][rows] = x · Wᵀ + ending, for a multiple of 8 columns. Grid: warps for the most rows
// that a term has; terms.
#define QLORA_FEW(most)                                                                         \
  QLORA_KERNEL(128, qlora_few_4bit_##most, const __grid_constant__ FewTerms terms) {            \
    __shared__ float table[16];                                                                 \
    const FewTerm &term = terms.at[blockIdx.y];                                                 \
    if (threadIdx.x < 16) table[threadIdx.x] = term.four_bit.table[threadIdx.x];                \
    __syncthreads();                                                                            \
    few_rows<most>(FourBitEights{term.four_bit, table}, terms, term);                           \
  }                                                                                             \
  QLORA_KERNEL(128, qlora_few_8bit_##most, const __grid_constant__ FewTerms terms) {            \
    const FewTerm &term = terms.at[blockIdx.y];                                                 \
    const ByteEights bytes = {(const signed char *)term.values, term.scales};                   \
    few_rows<most>(bytes, terms, term);                                                         \
  }                                                                                             \
  QLORA_KERNEL(128, qlora_few_dense_##most, const __grid_constant__ FewTerms terms) {           \
    const FewTerm &term = terms.at[blockIdx.y];                                                 \
    few_rows<most>(DenseEights{term.values, term.type}, terms, term);                           \
  }

QLORA_FEW(1)
QLORA_FEW(4)
QLORA_FEW(16)
