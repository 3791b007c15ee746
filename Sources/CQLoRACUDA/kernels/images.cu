// Images as rows of pixels: what the windows of a convolution see, norms over groups of channels,
// and the softmax of scores that lie in memory.
static constexpr int image_threads = 256;

// A square window; `columns` is how many places it has in a row of the image.
struct ImageWindow {
  int height, width, channels, size, padding, stride, enlargement, columns;
};

// out [count][size][size][channels] = what the window sees from its place `first` on, with zeros
// outside of the image.
QLORA_KERNEL(256, qlora_windows, const void *x, int type, ImageWindow window, i64 first, i64 count,
             void *out) {
  const i64 row_width = (i64)window.size * window.channels, all = row_width * window.size;
  const i64 image_width = window.width / window.enlargement;
  for (i64 i = first_element(); i < count * all; i += element_step()) {
    const i64 place = first + i / all, channel = i % window.channels;
    const i64 line = place / window.columns * window.stride - window.padding + i % all / row_width;
    const i64 column = place % window.columns * window.stride - window.padding
                     + i % row_width / window.channels;
    const bool is_inside =
        line >= 0 && line < window.height && column >= 0 && column < window.width;
    const i64 pixel =
        line / window.enlargement * image_width + column / window.enlargement;
    const i64 from = pixel * window.channels + channel;
    if (type == element_f32) {
      ((float *)out)[i] = is_inside ? ((const float *)x)[from] : 0;
    } else {
      ((u16 *)out)[i] = is_inside ? ((const u16 *)x)[from] : 0;
    }
  }
}

// MARK: Group norm

// Pixels whose sums one block has.
static constexpr int moment_pixels = 256;

// sums [chunks][groups][2] = Σ and Σ² of differences from the group's first element, so that a
// mean far from zero costs no digits. Grid: chunks of pixels, groups.
QLORA_KERNEL(256, qlora_group_moments, const float *x, i64 pixels, i64 channels, double *sums) {
  __shared__ double scratch[image_threads / 32];
  const i64 width = channels / gridDim.y, group = blockIdx.y;
  const i64 first = (i64)blockIdx.x * moment_pixels;
  const i64 left = pixels - first, count = left < moment_pixels ? left : moment_pixels;
  const double centre = x[group * width];
  double sum = 0, squares = 0;
  for (i64 i = threadIdx.x; i < count * width; i += image_threads) {
    const i64 place = (first + i / width) * channels + group * width + i % width;
    const double apart = (double)x[place] - centre;
    sum += apart;
    squares += apart * apart;
  }
  sum = block_sum<image_threads>(sum, scratch);
  squares = block_sum<image_threads>(squares, scratch);
  if (threadIdx.x > 0) return;
  const i64 to = ((i64)blockIdx.x * gridDim.y + group) * 2;
  sums[to] = sum;
  sums[to + 1] = squares;
}

// affine [3][channels] = what to take off, to multiply by and to add. Grid: groups.
QLORA_KERNEL(256, qlora_group_affine, const float *x, const double *sums, i64 chunks, i64 pixels,
             i64 channels, const float *weight, const float *bias, float epsilon, float *affine) {
  __shared__ double scratch[image_threads / 32];
  const i64 groups = gridDim.x, group = blockIdx.x, width = channels / groups;
  double sum = 0, squares = 0;
  for (i64 chunk = threadIdx.x; chunk < chunks; chunk += image_threads) {
    sum += sums[(chunk * groups + group) * 2];
    squares += sums[(chunk * groups + group) * 2 + 1];
  }
  sum = block_sum<image_threads>(sum, scratch);
  squares = block_sum<image_threads>(squares, scratch);
  const double count = (double)(pixels * width), apart = sum / count;
  const double mean = (double)x[group * width] + apart;
  const double variance = squares / count - apart * apart;
  const double inverse = 1 / sqrt((variance > 0 ? variance : 0) + (double)epsilon);
  // What the mean loses as a float, the shift takes back.
  const double lost = mean - (double)(float)mean;
  for (i64 i = group * width + threadIdx.x; i < (group + 1) * width; i += image_threads) {
    const double scale = inverse * (double)weight[i];
    affine[i] = (float)mean;
    affine[channels + i] = (float)scale;
    affine[2 * channels + i] = (float)((double)bias[i] - lost * scale);
  }
}

// out = y = (x − affine[0]) · affine[1] + affine[2], or y·σ(y) where it `activates`.
QLORA_KERNEL(256, qlora_group_norm, const float *x, const float *affine, int activates, void *out,
             int out_type, i64 pixels, i64 channels) {
  for (i64 i = first_element(); i < pixels * channels; i += element_step()) {
    const float *channel = affine + i % channels;
    const float value = (x[i] - channel[0]) * channel[channels] + channel[2 * channels];
    store_element(out, out_type, i, activates ? value / (1 + expf(-value)) : value);
  }
}

// MARK: Scores in memory

// A score with what is added to it.
static __device__ inline float biased(const float *scores, const float *biases, float scale,
                                      i64 i) {
  return scores[i] * scale + (biases ? biases[i] : 0);
}

// out [queries][keys] = softmax(scale · scores + bias), row r being query `first + r`, whose key k
// has the bias at k − (first + r) + keys − 1. A block has a row.
QLORA_KERNEL(256, qlora_biased_softmax, const float *scores, float scale, const float *biases,
             i64 first, i64 keys, void *out, int out_type) {
  __shared__ Largest places[image_threads / 32];
  __shared__ double scratch[image_threads / 32];
  const i64 base = (i64)blockIdx.x * keys;
  const float *row = scores + base;
  const float *bias = biases ? biases + (keys - 1 - first - blockIdx.x) : nullptr;
  Largest mine = {bits_float(0xFF800000), 0x7FFFFFFF};
  for (i64 i = threadIdx.x; i < keys; i += image_threads) {
    const Largest other = {biased(row, bias, scale, i), (int)i};
    mine = larger(mine, other);
  }
  const float peak = block_largest<image_threads>(mine, places).value;
  double sum = 0;
  for (i64 i = threadIdx.x; i < keys; i += image_threads) {
    sum += expf(biased(row, bias, scale, i) - peak);
  }
  sum = block_sum<image_threads>(sum, scratch);
  for (i64 i = threadIdx.x; i < keys; i += image_threads) {
    const float weight = expf(biased(row, bias, scale, i) - peak);
    store_element(out, out_type, base + i, (float)(weight / sum));
  }
}
