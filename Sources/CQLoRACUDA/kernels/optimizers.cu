// The optimizers, rounding where the CPU's do, so that both give the same bits. A block has 256
// elements, which is a block of the states in 8 bits: decoded, updated, encoded with a new scale.
static constexpr int moment_block = 256;

// A state: float32 values (`codes` null), or codes with a scale for each block.
struct Moment {
  float *values;
  u8 *codes;
  float *scales;
  // [256] what codes mean, and [65536] the code for each place between −1 and 1.
  const float *map;
  const u8 *lookup;
};

static __device__ inline float moment_value(const Moment &moment, i64 index) {
  if (!moment.codes) return moment.values[index];
  return moment.map[moment.codes[index]] * moment.scales[blockIdx.x];
}

// Every thread of the block must come here; those past the end with `is_there` false.
static __device__ inline void keep_moment(const Moment &moment, i64 index, float value,
                                          bool is_there, float *scratch) {
  if (!moment.codes) {
    if (is_there) moment.values[index] = value;
    return;
  }
  scratch[threadIdx.x] = is_there ? fabsf(value) : 0;
  __syncthreads();
  for (int apart = moment_block / 2; apart > 0; apart /= 2) {
    if ((int)threadIdx.x < apart) {
      scratch[threadIdx.x] = fmaxf(scratch[threadIdx.x], scratch[threadIdx.x + apart]);
    }
    __syncthreads();
  }
  const float scale = scratch[0];
  __syncthreads();
  if (threadIdx.x == 0) moment.scales[blockIdx.x] = scale;
  if (!is_there) return;
  const float factor = 1 / scale;
  float place = __fadd_rn(__fmul_rn(value, factor), 1);
  place = __fadd_rn(__fmul_rn(__fmul_rn(place, 0.5f), 65535), 0.5f);
  // The factor of a subnormal scale is infinite, and a product with it may be no number.
  const float bounded = place > 0 ? fminf(place, 65535) : 0;
  moment.codes[index] = scale == 0 ? 0 : moment.lookup[(int)bounded];
}

struct AdamW {
  float decay, first_weight, beta2, second_weight, correction2_root, epsilon, negative_step_size;
  // 0: the first moment is interpolated as PyTorch does.
  float first_decay;
};

QLORA_KERNEL(256, qlora_adamw, float *parameter, const float *gradient, Moment first, Moment second,
             AdamW k, i64 count) {
  __shared__ float scratch[moment_block];
  const i64 i = first_element();
  const bool is_there = i < count;
  float mean = 0, square = 0;
  if (is_there) {
    const float g = gradient[i], m = moment_value(first, i), v = moment_value(second, i);
    const float apart = __fsub_rn(g, m);
    if (k.first_decay != 0) {
      mean = __fmaf_rn(k.first_weight, g, __fmul_rn(m, k.first_decay));
    } else if (fabsf(k.first_weight) < 0.5f) {
      mean = __fmaf_rn(k.first_weight, apart, m);
    } else {
      mean = __fmaf_rn(k.first_weight - 1, apart, g);
    }
    square = __fmaf_rn(__fmul_rn(k.second_weight, g), g, __fmul_rn(v, k.beta2));
    const float root = __fadd_rn(__fdiv_rn(__fsqrt_rn(square), k.correction2_root), k.epsilon);
    const float step = __fdiv_rn(__fmul_rn(k.negative_step_size, mean), root);
    parameter[i] = __fadd_rn(__fmul_rn(parameter[i], k.decay), step);
  }
  // The scales that were read above are written here, by the same block after its barrier.
  __syncthreads();
  keep_moment(first, i, mean, is_there, scratch);
  keep_moment(second, i, square, is_there, scratch);
}

struct Lion {
  float decay, beta1, update_weight, beta2, mean_weight, rate;
};

QLORA_KERNEL(256, qlora_lion, float *parameter, const float *gradient, Moment moment, Lion k,
             i64 count) {
  __shared__ float scratch[moment_block];
  const i64 i = first_element();
  const bool is_there = i < count;
  float mean = 0;
  if (is_there) {
    const float g = gradient[i], m = moment_value(moment, i);
    const float direction = __fadd_rn(__fmul_rn(m, k.beta1), __fmul_rn(g, k.update_weight));
    const float step = direction > 0 ? k.rate : direction < 0 ? -k.rate : 0;
    parameter[i] = __fsub_rn(__fmul_rn(parameter[i], k.decay), step);
    mean = __fmaf_rn(k.mean_weight, g, __fmul_rn(m, k.beta2));
  }
  __syncthreads();
  keep_moment(moment, i, mean, is_there, scratch);
}

// `mean` is null without momentum.
QLORA_KERNEL(256, qlora_sgd, float *parameter, const float *gradient, float *mean,
             float weight_decay, float momentum, float negative_rate, i64 count) {
  const i64 i = first_element();
  if (i >= count) return;
  float g = __fmaf_rn(weight_decay, parameter[i], gradient[i]);
  if (mean) g = mean[i] = __fadd_rn(__fmul_rn(mean[i], momentum), g);
  parameter[i] = __fmaf_rn(negative_rate, g, parameter[i]);
}
