/* Structures that kernels take by value, as their texts in `kernels/` declare them; an address is a
   pointer there. */
#pragma once

#include "qlora_cuda.h"

typedef struct qlora_cuda_four_bit {
  qlora_cuda_address packed, codes, absmax, map, table;
  float offset;
  int block_shift;
} qlora_cuda_four_bit;

typedef struct qlora_cuda_few_ending {
  qlora_cuda_address bias, a, b, projected;
  float scale;
  int rank;
} qlora_cuda_few_ending;

typedef struct qlora_cuda_few_term {
  qlora_cuda_four_bit four_bit;
  qlora_cuda_address values, scales;
  qlora_cuda_few_ending ending;
  qlora_cuda_address out;
  int type, out_type, rows;
} qlora_cuda_few_term;

typedef struct qlora_cuda_few_terms {
  qlora_cuda_few_term first, second, third, fourth;
  qlora_cuda_address x;
  int x_type, tokens, columns;
} qlora_cuda_few_terms;

typedef struct qlora_cuda_product_matrix {
  qlora_cuda_address at;
  int64_t stride;
  int type, is_across;
} qlora_cuda_product_matrix;

typedef struct qlora_cuda_copy {
  qlora_cuda_address x, out;
  int64_t x_width, out_width, rows, columns;
  float factor;
  int x_type, out_type, adding, blocks;
} qlora_cuda_copy;

/* As many as a step's groups of linears ask for at once, in half of what a launch may take. */
#define QLORA_CUDA_MOST_COPIES 24

typedef struct qlora_cuda_copies {
  qlora_cuda_copy at[QLORA_CUDA_MOST_COPIES];
  int ends[QLORA_CUDA_MOST_COPIES];
} qlora_cuda_copies;

/* Puts a copy at a place, and its blocks behind those of the places before. */
static inline void qlora_cuda_set_copy(qlora_cuda_copies *copies, int place,
                                       qlora_cuda_copy copy) {
  copies->at[place] = copy;
  const int begin = place ? copies->ends[place - 1] : 0;
  for (int i = place; i < QLORA_CUDA_MOST_COPIES; i++) copies->ends[i] = begin + copy.blocks;
}

typedef struct qlora_cuda_moment_map {
  qlora_cuda_address values, lookup;
} qlora_cuda_moment_map;

typedef struct qlora_cuda_adamw {
  float decay, first_weight, beta2, second_weight, correction2_root, epsilon;
  float negative_step_size, beta1;
} qlora_cuda_adamw;

typedef struct qlora_cuda_lion {
  float decay, beta1, update_weight, beta2, mean_weight, rate;
} qlora_cuda_lion;

typedef struct qlora_cuda_attention_shape {
  int heads, kv_heads, head_size, rows, offset;
  float scale, cap;
  int reach;
  qlora_cuda_address starts, stops, firsts, ends, bias, stands;
} qlora_cuda_attention_shape;

typedef struct qlora_cuda_cached_shape {
  int heads, kv_heads, head_size, rows, position, window, piece_keys;
  float scale, cap;
  qlora_cuda_address place;
} qlora_cuda_cached_shape;

typedef struct qlora_cuda_attention_inputs {
  qlora_cuda_address gradient, query, keys, values, log_sum_exp, delta;
  int type;
} qlora_cuda_attention_inputs;

typedef struct qlora_cuda_tile_shape {
  int rows, key_rows, heads, kv_heads, offset;
  float scale, cap;
  qlora_cuda_address starts, stops, firsts, ends;
} qlora_cuda_tile_shape;

typedef struct qlora_cuda_tile_inputs {
  qlora_cuda_address gradient, query, key, value, log_sum_exp, delta;
} qlora_cuda_tile_inputs;

typedef struct qlora_cuda_image_window {
  int height, width, channels, size, padding, stride, enlargement, columns;
} qlora_cuda_image_window;
