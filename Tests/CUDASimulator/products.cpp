// cuBLASLt as far as the backend asks for it: column-major products of float32 and bf16 matrices
// with float32 sums, computed plainly.
#include <cuda_simulator.h>

#include <cstring>
#include <vector>

#include "streams.h"

namespace {

enum { type_float32 = 0, type_bf16 = 14, compute_float32 = 68 };
enum { attribute_a = 3, attribute_b = 4 };
enum { invalid_value = 7, not_supported = 15 };

struct Product {
  int transposes_a = 0, transposes_b = 0;
};

struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t stride;
};

float widen(uint16_t bits) {
  const uint32_t word = uint32_t(bits) << 16;
  float value;
  memcpy(&value, &word, 4);
  return value;
}

uint16_t narrow(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (value != value) return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float load(const Layout &layout, qlora_cuda_address address, uint64_t row, uint64_t column) {
  const uint64_t place = row + column * uint64_t(layout.stride);
  if (layout.type == type_float32) return reinterpret_cast<const float *>(address)[place];
  return widen(reinterpret_cast<const uint16_t *>(address)[place]);
}

// The matrix, or its transpose, as [rows][columns] in a row.
std::vector<float> gathered(const Layout &layout, qlora_cuda_address address, bool is_across) {
  std::vector<float> values(layout.rows * layout.columns);
  for (uint64_t column = 0; column < layout.columns; column++) {
    for (uint64_t row = 0; row < layout.rows; row++) {
      const uint64_t place = is_across ? column * layout.rows + row : row * layout.columns + column;
      values[place] = load(layout, address, row, column);
    }
  }
  return values;
}

int create(qlora_cuda_handle *handle) {
  static int device;
  *handle = &device;
  return 0;
}

int product_create(qlora_cuda_handle *product, int compute, int scale) {
  if (compute != compute_float32 || scale != type_float32) return not_supported;
  *product = new Product();
  return 0;
}

int product_set(qlora_cuda_handle handle, int attribute, const void *value, size_t bytes) {
  if (bytes != sizeof(int)) return invalid_value;
  auto *product = static_cast<Product *>(handle);
  int number;
  memcpy(&number, value, sizeof number);
  if (attribute == attribute_a) product->transposes_a = number;
  else if (attribute == attribute_b) product->transposes_b = number;
  else return not_supported;
  return 0;
}

int layout_create(qlora_cuda_handle *layout, int type, uint64_t rows, uint64_t columns,
                  int64_t stride) {
  if (type != type_float32 && type != type_bf16) return not_supported;
  if (stride < int64_t(rows)) return invalid_value;
  *layout = new Layout{type, rows, columns, stride};
  return 0;
}

template <typename Kind> int destroy(qlora_cuda_handle handle) {
  delete static_cast<Kind *>(handle);
  return 0;
}

int keep(qlora_cuda_handle) { return 0; }

int preference_create(qlora_cuda_handle *preference) {
  *preference = new int(0);
  return 0;
}

int preference_set(qlora_cuda_handle, int, const void *, size_t) { return 0; }

int propose(qlora_cuda_handle, qlora_cuda_handle, qlora_cuda_handle, qlora_cuda_handle,
            qlora_cuda_handle, qlora_cuda_handle, qlora_cuda_handle, int wanted,
            qlora_cuda_algorithm *results, int *found) {
  if (wanted < 1) return invalid_value;
  memset(results, 0, sizeof *results);
  *found = 1;
  return 0;
}

struct Sizes {
  uint64_t rows, columns, depth;
};

// left [depth][rows] and right [columns][depth].
void compute(const std::vector<float> &left, const std::vector<float> &right, Sizes sizes,
             float factor, float kept, const Layout &to, qlora_cuda_address d) {
  std::vector<float> sums(sizes.rows);
  for (uint64_t column = 0; column < sizes.columns; column++) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (uint64_t k = 0; k < sizes.depth; k++) {
      const float by = right[column * sizes.depth + k];
      const float *from = left.data() + k * sizes.rows;
      for (uint64_t row = 0; row < sizes.rows; row++) sums[row] += by * from[row];
    }
    for (uint64_t row = 0; row < sizes.rows; row++) {
      const float old = kept == 0 ? 0 : kept * load(to, d, row, column);
      const float value = factor * sums[row] + old;
      const uint64_t place = row + column * uint64_t(to.stride);
      if (to.type == type_float32) reinterpret_cast<float *>(d)[place] = value;
      else reinterpret_cast<uint16_t *>(d)[place] = narrow(value);
    }
  }
}

int multiply(qlora_cuda_handle, qlora_cuda_handle product, const void *alpha,
             qlora_cuda_address a, qlora_cuda_handle a_layout, qlora_cuda_address b,
             qlora_cuda_handle b_layout, const void *beta, qlora_cuda_address c,
             qlora_cuda_handle c_layout, qlora_cuda_address d, qlora_cuda_handle d_layout,
             const void *, qlora_cuda_address, size_t, qlora_cuda_handle stream) {
  const Product &kind = *static_cast<Product *>(product);
  // Copies: the handles may be gone when the product is computed.
  const Layout la = *static_cast<Layout *>(a_layout), lb = *static_cast<Layout *>(b_layout);
  const Layout lc = *static_cast<Layout *>(c_layout), ld = *static_cast<Layout *>(d_layout);
  const uint64_t rows = kind.transposes_a ? la.columns : la.rows;
  const uint64_t depth = kind.transposes_a ? la.rows : la.columns;
  const uint64_t columns = kind.transposes_b ? lb.rows : lb.columns;
  if (depth != (kind.transposes_b ? lb.columns : lb.rows)) return invalid_value;
  if (ld.rows != rows || ld.columns != columns || lc.rows != rows || lc.columns != columns) {
    return invalid_value;
  }
  if (la.type != lb.type || lc.type != ld.type || c != d) return not_supported;
  float factor, kept;
  memcpy(&factor, alpha, 4);
  memcpy(&kept, beta, 4);
  const bool across_a = kind.transposes_a != 0, across_b = kind.transposes_b != 0;
  simulator::Guard guard(simulator::lock);
  simulator::enqueue(stream, [=] {
    compute(gathered(la, a, !across_a), gathered(lb, b, !across_b), {rows, columns, depth}, factor,
            kept, ld, d);
  });
  return 0;
}

// Knows no way to any product.
int propose_nothing(qlora_cuda_handle, qlora_cuda_handle, qlora_cuda_handle, qlora_cuda_handle,
                    qlora_cuda_handle, qlora_cuda_handle, qlora_cuda_handle, int,
                    qlora_cuda_algorithm *, int *found) {
  *found = 0;
  return not_supported;
}

}  // namespace

const qlora_cuda_products *cuda_simulator_products(void) {
  static const qlora_cuda_products table = {
      .version = [] { return size_t(120000); },
      .create = create,
      .destroy = keep,
      .product_create = product_create,
      .product_destroy = destroy<Product>,
      .product_set = product_set,
      .layout_create = layout_create,
      .layout_destroy = destroy<Layout>,
      .preference_create = preference_create,
      .preference_destroy = destroy<int>,
      .preference_set = preference_set,
      .propose = propose,
      .multiply = multiply,
  };
  return &table;
}

const qlora_cuda_products *cuda_simulator_refusing_products(void) {
  static const qlora_cuda_products table = [] {
    qlora_cuda_products table = *cuda_simulator_products();
    table.propose = propose_nothing;
    return table;
  }();
  return &table;
}
