// Matrix products of any types and strides, for shapes that cuBLASLt knows no way for: plain tiles,
// a sum in one thread and one order.
static constexpr int product_side = 16;

// Rows `stride` elements apart, or with its axes exchanged.
struct ProductMatrix {
  const void *at;
  i64 stride;
  int type, is_across;
};

static __device__ inline float product_element(const ProductMatrix &x, i64 row, i64 column) {
  const i64 place = x.is_across ? column * x.stride + row : row * x.stride + column;
  return load_element(x.at, x.type, place);
}

// out [rows][columns] = factor · left [rows][depth] · right [depth][columns], plus itself where
// `adding`. A block has a tile of 16 × 16.
QLORA_KERNEL(256, qlora_product, ProductMatrix left, ProductMatrix right, void *out, int out_type,
             i64 out_stride, i64 rows, i64 columns, i64 depth, float factor, int adding) {
  __shared__ float lefts[product_side][product_side + 1], rights[product_side][product_side + 1];
  const int x = threadIdx.x % product_side, y = threadIdx.x / product_side;
  const i64 tiles = (columns + product_side - 1) / product_side;
  const i64 row = blockIdx.x / tiles * product_side + y;
  const i64 column = blockIdx.x % tiles * product_side + x;
  float sum = 0;
  for (i64 at = 0; at < depth; at += product_side) {
    lefts[y][x] = row < rows && at + x < depth ? product_element(left, row, at + x) : 0;
    rights[y][x] = column < columns && at + y < depth ? product_element(right, at + y, column) : 0;
    __syncthreads();
    for (int k = 0; k < product_side; k++) sum += lefts[y][k] * rights[k][x];
    __syncthreads();
  }
  if (row >= rows || column >= columns) return;
  const i64 place = row * out_stride + column;
  const float old = adding ? load_element(out, out_type, place) : 0;
  store_element(out, out_type, place, factor * sum + old);
}
