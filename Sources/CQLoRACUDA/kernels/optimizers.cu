// What an optimizer asks of lists of tensors: sums of squares, factors, zeros, and its updates.
// Blocks take parts of `part_elements`, counted through the whole list.
static constexpr int part_elements = 4096, part_threads = 256;

// A tensor of a list, and the number of its first part.
struct Listed {
  void *x;
  i64 count;
  int begin, type;
};

struct Part {
  int tensor;
  i64 first, end;
};

// The part of this block: the thread that asks the tensor that has it tells the others.
template <typename Entry>
static __device__ inline Part find_part(const Entry *list, int tensors) {
  __shared__ int found;
  const int block = blockIdx.x;
  for (int i = threadIdx.x; i < tensors; i += part_threads) {
    const i64 first = (i64)(block - list[i].begin) * part_elements;
    if (first >= 0 && first < list[i].count) found = i;
  }
  __syncthreads();
  const Entry &entry = list[found];
  const i64 first = (i64)(block - entry.begin) * part_elements;
  const i64 left = entry.count - first;
  return {found, first, first + (left < part_elements ? left : part_elements)};
}

// body(first, width) for the pieces of a part that this thread has.
template <typename Body>
static __device__ inline void for_part(const Part &part, bool is_whole, Body body) {
  i64 i = part.first;
  if (is_whole) {
    for (i64 j = i + threadIdx.x * piece; j + piece <= part.end; j += part_threads * piece) {
      body(j, Width<piece>());
    }
    i = part.end / piece * piece;
  }
  for (i += threadIdx.x; i < part.end; i += part_threads) body(i, Width<1>());
}

// x = factor · x; zeros, whatever was there, where `clearing`.
QLORA_KERNEL(256, qlora_scale_list, const Listed *list, int tensors, float factor, int clearing) {
  const Part part = find_part(list, tensors);
  const Listed entry = list[part.tensor];
  for_part(part, is_whole(entry.x), [&](i64 i, auto width) {
    Elements<width.count> values = {};
    if (!clearing) values = load(entry.x, entry.type, i, width);
    for (float &value : values.at) value *= factor;
    store(entry.x, entry.type, i, values);
  });
}

// sums [part] = Σ x², in an order that counts and the alignment of addresses decide.
QLORA_KERNEL(256, qlora_squares, const Listed *list, int tensors, double *sums) {
  __shared__ double scratch[part_threads / 32];
  const Part part = find_part(list, tensors);
  const Listed entry = list[part.tensor];
  double sum = 0;
  for_part(part, is_whole(entry.x), [&](i64 i, auto width) {
    for (double value : load(entry.x, entry.type, i, width).at) sum += value * value;
  });
  sum = block_sum<part_threads>(sum, scratch);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// totals [tensor] = Σ over its parts; a block has a tensor.
QLORA_KERNEL(256, qlora_totals, const Listed *list, const double *sums, double *totals) {
  __shared__ double scratch[part_threads / 32];
  const Listed entry = list[blockIdx.x];
  const i64 parts = (entry.count + part_elements - 1) / part_elements;
  double sum = 0;
  for (i64 i = threadIdx.x; i < parts; i += part_threads) sum += sums[entry.begin + i];
  sum = block_sum<part_threads>(sum, scratch);
  if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}

// MARK: Updates. They round where the CPU's do, so that both give the same bits. States in 8 bits
// have blocks of 256 elements: decoded, updated, encoded with a new scale.
static constexpr int moment_block = part_threads;

// A state: float32 values, or codes (else null) with a scale for each block.
struct Moment {
  float *values;
  u8 *codes;
  float *scales;
};

// A parameter with what its update needs, and the number of its first part.
struct Update {
  float *parameter;
  const float *gradient;
  Moment first, second;
  i64 count;
  i64 begin;
};

// [256] what codes mean, and [65536] the code for each place between −1 and 1.
struct MomentMap {
  const float *values;
  const u8 *lookup;
};

static __device__ inline float moment_value(const Moment &moment, const MomentMap &map, i64 i) {
  if (!moment.codes) return moment.values[i];
  return map.values[moment.codes[i]] * moment.scales[i / moment_block];
}

// Every thread of the block must come here, after it has read its state; those past the end with
// `is_there` false.
static __device__ inline void keep_moment(const Moment &moment, const MomentMap &map, i64 i,
                                          float value, bool is_there) {
  if (!moment.codes) {
    if (is_there) moment.values[i] = value;
    return;
  }
  __shared__ float scratch[moment_block / 32];
  const float scale = block_maximum<moment_block>(is_there ? fabsf(value) : 0, scratch);
  if (threadIdx.x == 0) moment.scales[i / moment_block] = scale;
  if (!is_there) return;
  const float factor = 1 / scale;
  float place = __fadd_rn(__fmul_rn(value, factor), 1);
  place = __fadd_rn(__fmul_rn(__fmul_rn(place, 0.5f), 65535), 0.5f);
  // The factor of a subnormal scale is infinite, and a product with it may be no number.
  const float bounded = place > 0 ? fminf(place, 65535) : 0;
  moment.codes[i] = scale == 0 ? 0 : map.lookup[(int)bounded];
}

// body(update, element, is_there) for this block's part, all threads together.
template <typename Body>
static __device__ inline void for_updates(const Update *list, int tensors, Body body) {
  const Part part = find_part(list, tensors);
  const Update update = list[part.tensor];
  for (i64 block = part.first; block < part.end; block += moment_block) {
    const i64 i = block + threadIdx.x;
    body(update, i, i < part.end);
  }
}

struct AdamW {
  float decay, first_weight, beta2, second_weight, correction2_root, epsilon, negative_step_size;
  float beta1;
};

QLORA_KERNEL(256, qlora_adamw, const Update *list, int tensors, MomentMap signs, MomentMap sizes,
             AdamW k) {
  for_updates(list, tensors, [&](const Update &update, i64 i, bool is_there) {
    const Moment &first = update.first, &second = update.second;
    float mean = 0, square = 0;
    if (is_there) {
      const float g = update.gradient[i], m = moment_value(first, signs, i);
      const float v = moment_value(second, sizes, i), before = update.parameter[i];
      const float apart = __fsub_rn(g, m);
      if (first.codes) {
        mean = __fmaf_rn(k.first_weight, g, __fmul_rn(m, k.beta1));
      } else if (fabsf(k.first_weight) < 0.5f) {  // interpolated as PyTorch does
        mean = __fmaf_rn(k.first_weight, apart, m);
      } else {
        mean = __fmaf_rn(k.first_weight - 1, apart, g);
      }
      square = __fmaf_rn(__fmul_rn(k.second_weight, g), g, __fmul_rn(v, k.beta2));
      const float root = __fadd_rn(__fdiv_rn(__fsqrt_rn(square), k.correction2_root), k.epsilon);
      const float step = __fdiv_rn(__fmul_rn(k.negative_step_size, mean), root);
      update.parameter[i] = __fadd_rn(__fmul_rn(before, k.decay), step);
    }
    keep_moment(first, signs, i, mean, is_there);
    keep_moment(second, sizes, i, square, is_there);
  });
}

struct Lion {
  float decay, beta1, update_weight, beta2, mean_weight, rate;
};

QLORA_KERNEL(256, qlora_lion, const Update *list, int tensors, MomentMap signs, Lion k) {
  for_updates(list, tensors, [&](const Update &update, i64 i, bool is_there) {
    float mean = 0;
    if (is_there) {
      const float g = update.gradient[i], m = moment_value(update.first, signs, i);
      const float direction = __fadd_rn(__fmul_rn(m, k.beta1), __fmul_rn(g, k.update_weight));
      const float step = direction > 0 ? k.rate : direction < 0 ? -k.rate : 0;
      update.parameter[i] = __fsub_rn(__fmul_rn(update.parameter[i], k.decay), step);
      mean = __fmaf_rn(k.mean_weight, g, __fmul_rn(m, k.beta2));
    }
    keep_moment(update.first, signs, i, mean, is_there);
  });
}

// Without momentum there are no values.
QLORA_KERNEL(256, qlora_sgd, const Update *list, int tensors, float weight_decay, float momentum,
             float negative_rate) {
  for_updates(list, tensors, [&](const Update &update, i64 i, bool is_there) {
    if (!is_there) return;
    float *parameter = update.parameter + i, *mean = update.first.values;
    float g = __fmaf_rn(weight_decay, *parameter, update.gradient[i]);
    if (mean) g = mean[i] = __fadd_rn(__fmul_rn(mean[i], momentum), g);
    *parameter = __fmaf_rn(negative_rate, g, *parameter);
  });
}
