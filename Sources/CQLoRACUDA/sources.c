// The kernels' texts, taken into the program as they lie in `kernels/`.
#include "qlora_cuda.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const char common_text[] = {
#embed "kernels/common.cuh" suffix(, 0)
};
// Both know where a head lies.
static const char attention_rows_text[] = {
#embed "kernels/attention_rows.cu"
  ,
#embed "kernels/attention_cached.cu" suffix(, 0)
};
static const char attention_tiles_128_text[] = {
#embed "kernels/attention_tiles.cu"
  ,
#embed "kernels/attention_tiles_backward.cu"
  ,
#embed "kernels/attention_tiles_128.cu" suffix(, 0)
};
static const char attention_tiles_256_text[] = {
#embed "kernels/attention_tiles.cu"
  ,
#embed "kernels/attention_tiles_backward.cu"
  ,
#embed "kernels/attention_tiles_256.cu" suffix(, 0)
};
static const char attention_tiles_64_text[] = {
#embed "kernels/attention_tiles.cu"
  ,
#embed "kernels/attention_tiles_backward.cu"
  ,
#embed "kernels/attention_tiles_64.cu" suffix(, 0)
};
static const char attention_tiles_96_text[] = {
#embed "kernels/attention_tiles.cu"
  ,
#embed "kernels/attention_tiles_backward.cu"
  ,
#embed "kernels/attention_tiles_96.cu" suffix(, 0)
};
static const char elements_text[] = {
#embed "kernels/elements.cu" suffix(, 0)
};
static const char experts_text[] = {
#embed "kernels/experts.cu" suffix(, 0)
};
static const char head_text[] = {
#embed "kernels/rows.cuh"
  ,
#embed "kernels/head.cu" suffix(, 0)
};
static const char images_text[] = {
#embed "kernels/images.cu" suffix(, 0)
};
static const char modulation_text[] = {
#embed "kernels/rows.cuh"
  ,
#embed "kernels/modulation.cu" suffix(, 0)
};
static const char optimizers_text[] = {
#embed "kernels/optimizers.cu" suffix(, 0)
};
static const char products_text[] = {
#embed "kernels/products.cu" suffix(, 0)
};
static const char rows_text[] = {
#embed "kernels/rows.cuh"
  ,
#embed "kernels/rows.cu" suffix(, 0)
};
// All know the weights, so they begin with their decoding.
static const char weights_text[] = {
#embed "kernels/weights.cu"
  ,
#embed "kernels/few.cu"
  ,
#embed "kernels/few_matrix.cu" suffix(, 0)
};

const qlora_cuda_source qlora_cuda_common = {"common", common_text};

static const qlora_cuda_source sources[] = {
    {"attention_rows", attention_rows_text},
    {"attention_tiles_128", attention_tiles_128_text},
    {"attention_tiles_256", attention_tiles_256_text},
    {"attention_tiles_64", attention_tiles_64_text},
    {"attention_tiles_96", attention_tiles_96_text},
    {"elements", elements_text},
    {"experts", experts_text},
    {"head", head_text},
    {"images", images_text},
    {"modulation", modulation_text},
    {"optimizers", optimizers_text},
    {"products", products_text},
    {"rows", rows_text},
    {"weights", weights_text},
};

const int qlora_cuda_source_count = sizeof sources / sizeof sources[0];

qlora_cuda_source qlora_cuda_source_at(int index) { return sources[index]; }
