// Element-wise kernels: activations, caps, sums, copies with a change of type, dropout. Any grid
// gives the same results. Threads take pieces of elements; what a body needs is fetched before any
// of it is used.

static __device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

QLORA_KERNEL(256, qlora_silu_multiply, const void *gate, int gate_type, const void *up, int up_type,
             void *out, int out_type, i64 count) {
  for_elements(count, is_whole(gate) && is_whole(up) && is_whole(out), [&](i64 i, auto width) {
    const auto gates = fetch(gate, gate_type, i, width), ups = fetch(up, up_type, i, width);
    auto g = unpack(gates);
    const auto u = unpack(ups);
    for (int j = 0; j < width.count; j++) g.at[j] = g.at[j] * sigmoid(g.at[j]) * u.at[j];
    store(out, out_type, i, g);
  });
}

// Whether pieces of what the gradient of a gated activation reads lie in whole words.
static __device__ inline bool is_whole_gradient(const float *gradient, const void *gate,
                                                int gate_type, const void *up, int up_type,
                                                i64 rows, i64 columns) {
  const i64 apart = rows > 1 ? columns : 0;
  return is_whole(gradient, element_f32, apart) && is_whole(gate, gate_type, apart)
      && is_whole(up, up_type, apart);
}

// Rows of the gradients begin `out_width` elements apart. `gate_gradient` may be `gradient` where
// it is float32 and no wider.
QLORA_KERNEL(256, qlora_silu_multiply_backward, const float *gradient, const void *gate,
             int gate_type, const void *up, int up_type, void *gate_gradient, void *up_gradient,
             int out_type, i64 rows, i64 columns, i64 out_width) {
  const bool whole = is_whole_gradient(gradient, gate, gate_type, up, up_type, rows, columns)
                  && is_whole(gate_gradient, out_type, rows > 1 ? out_width : 0)
                  && is_whole(up_gradient, out_type, rows > 1 ? out_width : 0);
  for_matrix(rows, columns, whole, [&](i64 row, i64 column, auto width) {
    const i64 i = row * columns + column, to = row * out_width + column;
    const auto gates = fetch(gate, gate_type, i, width), ups = fetch(up, up_type, i, width);
    auto dy = load(gradient, element_f32, i, width);
    auto g = unpack(gates);
    const auto u = unpack(ups);
    for (int j = 0; j < width.count; j++) {
      const float s = sigmoid(g.at[j]), value = g.at[j] * s;
      g.at[j] = dy.at[j] * u.at[j] * (s * (1 + g.at[j] * (1 - s)));
      dy.at[j] = dy.at[j] * value;
    }
    store(gate_gradient, out_type, to, g);
    store(up_gradient, out_type, to, dy);
  });
}

// gelu(x) and its slope there, by Φ or by its approximation with tanh.
static __device__ inline float gelu(float x, int by_tanh, float *slope) {
  if (by_tanh) {
    const float root = 0.7978845608f;  // √(2/π)
    const float s = sigmoid(2 * root * (x + 0.044715f * x * x * x));
    *slope = s + x * s * (1 - s) * 2 * root * (1 + 3 * 0.044715f * x * x);
    return x * s;
  }
  const float below = 0.5f * erfcf(-x * 0.7071067812f);
  *slope = below + x * 0.3989422804f * expf(-0.5f * x * x);
  return x * below;
}

// Without `up` the gate alone.
QLORA_KERNEL(256, qlora_gelu_multiply, int by_tanh, const void *gate, int gate_type, const void *up,
             int up_type, void *out, int out_type, i64 count) {
  const bool whole = is_whole(gate) && is_whole(up) && is_whole(out);
  for_elements(count, whole, [&](i64 i, auto width) {
    auto g = load(gate, gate_type, i, width);
    float slope;
    for (int j = 0; j < width.count; j++) g.at[j] = gelu(g.at[j], by_tanh, &slope);
    if (up) {
      const auto u = load(up, up_type, i, width);
      for (int j = 0; j < width.count; j++) g.at[j] *= u.at[j];
    }
    store(out, out_type, i, g);
  });
}

// `gate_gradient` may be `gradient` where it is float32 and no wider.
QLORA_KERNEL(256, qlora_gelu_multiply_backward, int by_tanh, const float *gradient,
             const void *gate, int gate_type, const void *up, int up_type, void *gate_gradient,
             void *up_gradient, int out_type, i64 rows, i64 columns, i64 out_width) {
  const bool whole = is_whole_gradient(gradient, gate, gate_type, up, up_type, rows, columns)
                  && is_whole(gate_gradient, out_type, rows > 1 ? out_width : 0)
                  && is_whole(up_gradient, out_type, rows > 1 ? out_width : 0);
  for_matrix(rows, columns, whole, [&](i64 row, i64 column, auto width) {
    const i64 i = row * columns + column, to = row * out_width + column;
    auto dy = load(gradient, element_f32, i, width);
    auto g = load(gate, gate_type, i, width);
    Elements<width.count> slopes;
    for (int j = 0; j < width.count; j++) g.at[j] = gelu(g.at[j], by_tanh, &slopes.at[j]);
    if (up) {
      const auto u = load(up, up_type, i, width);
      for (int j = 0; j < width.count; j++) {
        slopes.at[j] *= u.at[j];
        g.at[j] *= dy.at[j];
      }
      store(up_gradient, out_type, to, g);
    }
    for (int j = 0; j < width.count; j++) dy.at[j] *= slopes.at[j];
    store(gate_gradient, out_type, to, dy);
  });
}

// MARK: Functions of each element

enum ElementFunction {
  function_gelu_sigmoid = 0,
  function_silu = 1,
  function_tanh = 2,
  function_relu = 3
};

static __device__ inline float steepness(int function) {
  return function == function_silu ? 1 : 1.702f;
}

static __device__ inline float function_value(int function, float x) {
  if (function == function_relu) return fmaxf(x, 0);
  return function == function_tanh ? tanhf(x) : x * sigmoid(steepness(function) * x);
}

QLORA_KERNEL(256, qlora_function, int function, const void *x, int x_type, void *out, int out_type,
             i64 count) {
  for_elements(count, is_whole(x) && is_whole(out), [&](i64 i, auto width) {
    auto values = load(x, x_type, i, width);
    for (float &value : values.at) value = function_value(function, value);
    store(out, out_type, i, values);
  });
}

static __device__ inline float function_slope(int function, float x) {
  if (function == function_relu) return x > 0 ? 1 : 0;
  if (function == function_tanh) {
    const float bent = tanhf(x);
    return 1 - bent * bent;
  }
  const float k = steepness(function), s = sigmoid(k * x);
  return s * (1 + k * x * (1 - s));
}

// `x_gradient` may be `gradient`.
QLORA_KERNEL(256, qlora_function_backward, int function, const float *gradient, const void *x,
             int x_type, float *x_gradient, i64 count) {
  const bool whole = is_whole(gradient) && is_whole(x) && is_whole(x_gradient);
  for_elements(count, whole, [&](i64 i, auto width) {
    const auto values = fetch(x, x_type, i, width);
    auto dy = load(gradient, element_f32, i, width);
    const auto v = unpack(values);
    for (int j = 0; j < width.count; j++) dy.at[j] *= function_slope(function, v.at[j]);
    store(x_gradient, element_f32, i, dy);
  });
}

// MARK: Caps, sums, copies

QLORA_KERNEL(256, qlora_cap, float *x, float cap, i64 count) {
  for_elements(count, is_whole(x), [&](i64 i, auto width) {
    auto values = load(x, element_f32, i, width);
    for (float &value : values.at) value = capped(value, cap);
    store(x, element_f32, i, values);
  });
}

QLORA_KERNEL(256, qlora_add, const void *left, int left_type, const void *right, int right_type,
             void *out, int out_type, i64 count) {
  for_elements(count, is_whole(left) && is_whole(right) && is_whole(out), [&](i64 i, auto width) {
    const auto lefts = fetch(left, left_type, i, width);
    const auto rights = fetch(right, right_type, i, width);
    auto sum = unpack(lefts);
    add(sum, unpack(rights));
    store(out, out_type, i, sum);
  });
}

QLORA_KERNEL(256, qlora_scale, void *x, int type, float factor, i64 count) {
  for_elements(count, is_whole(x), [&](i64 i, auto width) {
    auto values = load(x, type, i, width);
    for (float &value : values.at) value *= factor;
    store(x, type, i, values);
  });
}

// out [rows][out_width] = factor · x [rows][x_width], or that added to it, `columns` of each row;
// zeros without an x.
struct Copy {
  const void *x;
  void *out;
  i64 x_width, out_width, rows, columns;
  float factor;
  int x_type, out_type, adding;
  // Of the grid.
  int blocks;
};

// QLORA_CUDA_MOST_COPIES.
static constexpr int most_copies = 24;

struct Copies {
  Copy at[most_copies];
  // The block that ends each of them, and behind the last the end of all.
  int ends[most_copies];
};

// Copies of any sizes side by side. Grid: the blocks of all.
QLORA_KERNEL(256, qlora_copy, const __grid_constant__ Copies copies) {
  // All are looked at, at once: a search would wait for one load after the other.
  int place = 0, first = 0;
#pragma unroll
  for (int i = 0; i < most_copies - 1; i++) {
    if ((int)blockIdx.x >= copies.ends[i]) place = i + 1, first = copies.ends[i];
  }
  const Copy &copy = copies.at[place];
  const Share share = {(i64)(blockIdx.x - first) * blockDim.x + threadIdx.x,
                       (i64)copy.blocks * blockDim.x};
  const bool whole = is_whole(copy.x, copy.x_type, copy.rows > 1 ? copy.x_width : 0)
                  && is_whole(copy.out, copy.out_type, copy.rows > 1 ? copy.out_width : 0);
  for_matrix(share, copy.rows, copy.columns, whole, [&](i64 row, i64 column, auto width) {
    const i64 to = row * copy.out_width + column;
    Elements<width.count> values = {};
    if (copy.x) values = load(copy.x, copy.x_type, row * copy.x_width + column, width);
    for (float &value : values.at) value = copy.x ? copy.factor * value : 0;
    if (copy.adding) add(values, load(copy.out, copy.out_type, to, width));
    store(copy.out, copy.out_type, to, values);
  });
}

// out [rows][columns] = x + bias.
QLORA_KERNEL(256, qlora_add_bias, const float *x, const float *bias, void *out, int out_type,
             i64 rows, i64 columns) {
  const bool whole = is_whole(x, element_f32, columns) && is_whole(bias)
                  && is_whole(out, out_type, columns);
  for_matrix(rows, columns, whole, [&](i64 row, i64 column, auto width) {
    auto values = load(x, element_f32, row * columns + column, width);
    add(values, load(bias, element_f32, column, width));
    store(out, out_type, row * columns + column, values);
  });
}

// MARK: Rows by index

QLORA_KERNEL(256, qlora_gather_rows, const void *x, int type, const int *rows, void *out, i64 count,
             i64 columns) {
  const bool whole = is_whole(x, type, columns) && is_whole(out, type, columns);
  for_matrix(count, columns, whole, [&](i64 row, i64 column, auto width) {
    const auto values = load(x, type, rows[row] * columns + column, width);
    store(out, type, row * columns + column, values);
  });
}

// out [rows[i]] += x [i]; no row may be named twice.
QLORA_KERNEL(256, qlora_scatter_rows, const float *x, const int *rows, float *out, i64 count,
             i64 columns) {
  const bool whole = is_whole(x, element_f32, columns) && is_whole(out, element_f32, columns);
  for_matrix(count, columns, whole, [&](i64 row, i64 column, auto width) {
    const i64 place = rows[row] * columns + column;
    auto sum = load(out, element_f32, place, width);
    add(sum, load(x, element_f32, row * columns + column, width));
    store(out, element_f32, place, sum);
  });
}

// MARK: Recorded steps

// What a recorded step reads in the place of constants.
QLORA_KERNEL(32, qlora_set_place, int *place, int token, int position) {
  if (threadIdx.x == 0) place[0] = token, place[1] = position;
}

// cache [first …] = x, `count` elements in rows of `columns`; `place`, where it is not null, has
// the first row.
QLORA_KERNEL(256, qlora_store_rows, const void *x, int x_type, void *cache, int type,
             const int *place, int first, i64 count, i64 columns) {
  const i64 begin = (i64)(place ? *place : first) * columns;
  for (i64 i = first_element(); i < count; i += element_step()) {
    store_element(cache, type, begin + i, load_element(x, x_type, i));
  }
}

// MARK: Dropout. Source: Salmon et al. 2011, Philox4x32-10, SC '11, section 3.3.

static __device__ inline void philox(u64 counter, u64 stream, u64 key, u32 *out) {
  u32 c0 = (u32)counter, c1 = (u32)(counter >> 32), c2 = (u32)stream, c3 = (u32)(stream >> 32);
  u32 k0 = (u32)key, k1 = (u32)(key >> 32);
  for (int round = 0; round < 10; round++) {
    const u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
    c0 = (u32)(p1 >> 32) ^ c1 ^ k0;
    c2 = (u32)(p0 >> 32) ^ c3 ^ k1;
    c1 = (u32)p1;
    c3 = (u32)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

// out = mask(x), or out += mask(x) for float32 where `accumulating`. A thread has four elements,
// which share a counter. Where a word counts as kept is decided in double, as on the CPU.
QLORA_KERNEL(256, qlora_dropout, const void *x, int x_type, void *out, int out_type, i64 count,
             float rate, u64 key, u64 stream, int accumulating) {
  const float kept = 1 / (1 - rate);
  const bool whole = is_whole(x) && is_whole(out);
  for (i64 four = first_element(); four * 4 < count; four += element_step()) {
    u32 words[4];
    philox((u64)four, stream, key, words);
    const auto mask = [&](i64 first, auto width) {
      auto values = load(x, x_type, first, width);
      for (int j = 0; j < width.count; j++) {
        const u32 word = words[first - four * 4 + j];
        const bool stays = (double)word * 2.3283064365386963e-10 >= (double)rate;
        values.at[j] = stays ? values.at[j] * kept : 0;
      }
      if (accumulating) add(values, load(out, element_f32, first, width));
      store(out, out_type, first, values);
    };
    if (whole && four * 4 + 4 <= count) {
      mask(four * 4, Width<4>());
    } else {
      for (i64 i = four * 4; i < count && i < four * 4 + 4; i++) mask(i, Width<1>());
    }
  }
}
