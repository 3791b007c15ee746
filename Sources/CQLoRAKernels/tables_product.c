/* Which product kernel serves each slot on each instruction set; fallbacks are visible here. */
#include "product_slots.h"

#define ALL(isa)                                                                          \
  .pack_f32 = qlora_pack_f32_##isa, .pack_bf16 = qlora_pack_bf16_##isa,                   \
  .tile = qlora_tile_##isa, .tile_transposed = qlora_tile_transposed_##isa,               \
  .unpack_f32 = qlora_unpack_f32_##isa, .unpack_bf16 = qlora_unpack_bf16_##isa,           \
  .decode_lines = qlora_decode_lines_##isa, .widen_bf16 = qlora_widen_bf16_##isa,         \
  .few_lines = qlora_few_lines_##isa, .few_f32 = qlora_few_f32_##isa,                     \
  .few_bf16 = qlora_few_bf16_##isa, .absmax = qlora_absmax_##isa,                         \
  .encode = qlora_encode_##isa, .decode_scales = qlora_decode_scales_##isa,              \
  .lane_max = qlora_lane_max_##isa, .lane_exp_sum = qlora_lane_exp_sum_##isa,             \
  .lane_exp = qlora_lane_exp_##isa, .peak = qlora_peak_##isa

const qlora_product_kernels qlora_product_reference = {
    ALL(reference), .dropout = qlora_dropout_reference, .panel_f32 = qlora_panel_f32_reference};
#if defined(__x86_64__)
const qlora_product_kernels qlora_product_avx2 = {
    ALL(avx2), .dropout = qlora_dropout_reference, .panel_f32 = qlora_panel_f32_reference};
const qlora_product_kernels qlora_product_avx512 = {
    ALL(avx512), .dropout = qlora_dropout_reference, .panel_f32 = qlora_panel_f32_reference};
#elif defined(__aarch64__)
const qlora_product_kernels qlora_product_neon = {
    ALL(reference), .dropout = qlora_dropout_reference, .panel_f32 = qlora_panel_f32_reference};
#endif
