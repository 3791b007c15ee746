/* Which product kernel serves each slot on each instruction set; fallbacks are visible here. */
#include "product_slots.h"

/* What every instruction set has of its own. */
#define COMMON(isa)                                                                       \
  .pack_f32 = qlora_pack_f32_##isa, .pack_bf16 = qlora_pack_bf16_##isa,                   \
  .tile = qlora_tile_##isa, .tile_transposed = qlora_tile_transposed_##isa,               \
  .unpack_f32 = qlora_unpack_f32_##isa, .unpack_bf16 = qlora_unpack_bf16_##isa,           \
  .decode_lines = qlora_decode_lines_##isa, .widen_bf16 = qlora_widen_bf16_##isa,         \
  .lane_max = qlora_lane_max_##isa, .lane_exp_sum = qlora_lane_exp_sum_##isa,             \
  .lane_exp = qlora_lane_exp_##isa, .cap = qlora_cap_##isa,                               \
  .lane_exp_capped = qlora_lane_exp_capped_##isa

/* What NEON takes from the reference, which compilers vectorize in part. */
#define REST(isa)                                                                         \
  .few_lines = qlora_few_lines_##isa, .few_f32 = qlora_few_f32_##isa,                     \
  .few_bf16 = qlora_few_bf16_##isa, .absmax = qlora_absmax_##isa,                         \
  .encode = qlora_encode_##isa, .insert_codes = qlora_insert_codes_##isa,                 \
  .decode_scales = qlora_decode_scales_##isa, .peak = qlora_peak_##isa

const qlora_product_kernels qlora_product_reference = {
    COMMON(reference), REST(reference), .dropout = qlora_dropout_reference,
    .panel_f32 = qlora_panel_f32_reference};
#if defined(__x86_64__)
const qlora_product_kernels qlora_product_avx2 = {
    COMMON(avx2), REST(avx2), .dropout = qlora_dropout_reference,
    .panel_f32 = qlora_panel_f32_avx2};
const qlora_product_kernels qlora_product_avx512 = {
    COMMON(avx512), REST(avx512), .dropout = qlora_dropout_reference,
    .panel_f32 = qlora_panel_f32_avx2};
#elif defined(__aarch64__)
const qlora_product_kernels qlora_product_neon = {
    COMMON(neon), REST(reference), .dropout = qlora_dropout_reference,
    .panel_f32 = qlora_panel_f32_reference};
#endif
