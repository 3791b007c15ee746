// The contract of the kernels for rows, elements, attention and the optimizer. Matrix products
// have a contract of their own in qlora_kernels.h.
//
// Every kernel is single-threaded, allocates nothing and does no I/O; callers split the work. One
// table per instruction set holds the same functions; `reference` is the specification. Pointers
// need the alignment of their element only. Inputs and outputs may be the same memory where an
// operation is element by element; otherwise they must not overlap. Values of 16 bits are widened
// on load and rounded to the nearest, ties to even, on store; all arithmetic is float32 unless
// said otherwise.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// The type of the elements behind a `void *`.
typedef enum {
  qlora_element_f32 = 0,
  qlora_element_bf16 = 1,
  /// Accepted by `convert` only.
  qlora_element_f16 = 2,
} qlora_element;

/// Constants of one AdamW update, each rounded once from double precision.
typedef struct {
  float decay;                ///< 1 − lr·wd
  float first_weight;         ///< 1 − β1
  float beta2;                ///< β2
  float second_weight;        ///< 1 − β2
  float correction2_root;     ///< √(1 − β2^t)
  float epsilon;              ///< ε
  float negative_step_size;   ///< −lr / (1 − β1^t)
  /// β1 where m becomes fma(1 − β1, g, m·β1), as in bitsandbytes; 0 where it is interpolated.
  float first_decay;
} qlora_adamw_constants;

/// Constants of one Lion update, each rounded once from double precision.
typedef struct {
  float decay;          ///< 1 − lr·wd
  float beta1;          ///< β1
  float update_weight;  ///< 1 − β1
  float beta2;          ///< β2
  float mean_weight;    ///< 1 − β2
  float rate;           ///< lr
} qlora_lion_constants;

/// Constants of one update of gradient descent, each rounded once from double precision.
typedef struct {
  float weight_decay;
  float momentum;
  float negative_rate;  ///< −lr
} qlora_sgd_constants;

/// Query tiles are this many queries wide, and key blocks this many keys, in every instruction set.
enum { qlora_attention_tile = 48 };

/// The query heads that share one key/value head, in one sequence. Row `i` of queries stands at
/// position `first + i` and sees keys `0 ... first + i`, or the last `window` of them, or, where
/// `sees_all`, every key; `first + queries == keys`.
typedef struct {
  qlora_element query_type, key_type, value_type, output_type;
  /// The first row, at the first head of the group; the heads of a group lie side by side.
  const void *query;
  /// The first row, at the shared head.
  const void *key, *value;
  /// Elements from one row to the next.
  long query_stride, key_stride, value_stride, output_stride;
  long queries, keys, first;
  /// Query heads in the group.
  long group;
  /// A multiple of 8, at most 256.
  long head_size;
  float scale;
  /// How many keys a query sees, its own included; 0 = all, and wherever `sees_all`.
  long window;
  /// Scores s, times scale, become cap·tanh(s / cap); 0 = they stay.
  float soft_cap;
  /// Written by the forward pass, read by the backward pass; laid out as `query`.
  void *output;
  /// Whether every query sees every key, whatever its position.
  int sees_all;
  /// `[group][log_sum_exp_stride]`: log Σ exp(scale · q·k); may be NULL in the forward pass.
  float *log_sum_exp;
  long log_sum_exp_stride;
  /// `qlora_attention_scratch(keys, head_size)` floats, aligned to 64 bytes.
  float *scratch;
} qlora_attention;

/// Gradients of the same; the strides are those of `query` and `key`, and `first` is 0.
typedef struct {
  qlora_attention forward;
  const float *output_gradient;
  float *query_gradient, *key_gradient, *value_gradient;
} qlora_attention_gradients;

/// Keys rounded up to whole blocks.
static inline long qlora_attention_padded(long keys) {
  return (keys + qlora_attention_tile - 1) / qlora_attention_tile * qlora_attention_tile;
}

/// Floats of scratch that either pass needs: five key-sized arrays (packings of keys and values and
/// their two gradients), six query tiles, three square tiles, and a fourth's room for what is kept
/// per query; and the blocks of a matrix unit, 256 keys by 128 queries in bf16 twice and by 32 in
/// fp32 twice, with heads rounded up to 32.
static inline long qlora_attention_scratch(long keys, long head_size) {
  const long wide = (head_size + 31) / 32 * 32;
  return 5 * (qlora_attention_padded(keys) + 256) * wide + 6 * qlora_attention_tile * wide
       + 4 * qlora_attention_tile * qlora_attention_tile + 256 * (128 + 2 * 32) + 1024;
}

/// Floats of scratch that `attention_row` needs.
static inline long qlora_attention_row_scratch(long keys, long group) {
  return (keys + 16) * group;
}

typedef struct {
  const char *name;

  /// out = x · r · weight with r = 1 / √(mean(x²) + ε), kept per row in `inverse_rms`.
  /// Zhang & Sennrich 2019, arXiv:1910.07467.
  void (*rms_norm)(long rows, long width, float epsilon, const void *x, qlora_element x_type,
                   const void *weight, qlora_element weight_type, void *out,
                   qlora_element out_type, float *inverse_rms);
  /// dx (+)= r·(w·dy) − x · r³/width · Σ w·dy·x.
  void (*rms_norm_backward)(long rows, long width, const float *dy, const void *x,
                            qlora_element x_type, const void *weight, qlora_element weight_type,
                            const float *inverse_rms, float *dx, int accumulate);
  /// out = (x − m)·r · weight + bias with m = mean(x), r = 1 / √(mean((x − m)²) + ε), kept per row
  /// side by side in `statistics`. Ba et al. 2016, arXiv:1607.06450.
  void (*layer_norm)(long rows, long width, float epsilon, const void *x, qlora_element x_type,
                     const float *weight, const float *bias, void *out, qlora_element out_type,
                     float *statistics);
  /// dx (+)= r·(g − mean(g) − n·mean(g·n)) with g = w·dy and n = (x − m)·r.
  void (*layer_norm_backward)(long rows, long width, const float *dy, const void *x,
                              qlora_element x_type, const float *weight, const float *statistics,
                              float *dx, int accumulate);
  /// In every head: (a, b) ← (a·c − b·s, b·c + a·s), with a the first half and b the second, and
  /// c, s from row `positions[row]` of the tables; `inverse` negates s.
  /// Su et al. 2021, arXiv:2104.09864.
  /// Only the first `rotated` elements of a head take part, and `[positions, rotated / 2]` are the
  /// tables.
  void (*rotary)(long rows, long heads, long head_size, long rotated, void *x, qlora_element type,
                 const int32_t *positions, const float *cosines, const float *sines, int inverse);

  /// out = gate · σ(gate) · up. Shazeer 2020, arXiv:2002.05202.
  void (*silu_multiply)(long count, const void *gate, qlora_element gate_type, const void *up,
                        qlora_element up_type, void *out, qlora_element out_type);
  /// dgate = dy · up · σ·(1 + gate·(1 − σ)); dup = dy · gate · σ. dgate may be dy.
  void (*silu_multiply_backward)(long count, const float *dy, const void *gate,
                                 qlora_element gate_type, const void *up, qlora_element up_type,
                                 float *dgate, float *dup);
  /// out = gelu(gate) · up, or gelu(gate) where `up` is NULL: gate·Φ(gate), or where `is_tanh`
  /// gate·σ(2u) with u = √(2/π)·(gate + 0.044715·gate³). Hendrycks & Gimpel 2016,
  /// arXiv:1606.08415, section 2.
  void (*gelu_multiply)(long count, int is_tanh, const void *gate, qlora_element gate_type,
                        const void *up, qlora_element up_type, void *out, qlora_element out_type);
  /// dgate = dy · up · gelu'(gate); dup = dy · gelu(gate), not written where `up` is NULL. dgate
  /// may be dy.
  void (*gelu_multiply_backward)(long count, int is_tanh, const float *dy, const void *gate,
                                 qlora_element gate_type, const void *up, qlora_element up_type,
                                 float *dgate, float *dup);
  /// out = x · σ(steepness · x): SiLU with 1, an approximation of GELU with 1.702.
  void (*logistic_multiply)(long count, float steepness, const void *x, qlora_element x_type,
                            void *out, qlora_element out_type);
  void (*add)(long count, const void *left, qlora_element left_type, const void *right,
              qlora_element right_type, void *out, qlora_element out_type);
  void (*convert)(long count, const void *x, qlora_element x_type, void *out,
                  qlora_element out_type);
  void (*scale)(long count, void *x, qlora_element type, float factor);
  /// out += factor · x.
  void (*add_scaled)(long count, float factor, const void *x, qlora_element type, float *out);
  /// Σ x · y.
  float (*dot)(long count, const void *x, qlora_element type, const float *y);
  /// Σ x² in double precision over sixteen interleaved sums that are then added in pairs (8 apart,
  /// 4, 2, 1): the same bits in every instruction set.
  double (*sum_of_squares)(long count, const void *x, qlora_element type);
  /// Added to: sums += Σ rows (x − centre) and squares += Σ rows (x − centre)², column by column.
  void (*column_moments)(long rows, long width, const float *x, const float *centre, float *sums,
                         float *squares);
  /// out = (x − centre) · scale + shift, by the column, and where `activates` y · σ(y) of it.
  void (*column_affine)(long rows, long width, const float *x, const float *centre,
                        const float *scale, const float *shift, int activates, void *out,
                        qlora_element out_type);
  /// out = softmax(scale · scores + bias) over one row; `bias` may be NULL, `scores` are spoiled.
  void (*softmax_row)(long count, float scale, float *scores, const float *bias, void *out,
                      qlora_element out_type);
  /// One update, rounding as PyTorch's vectorized single-tensor loop does: the interpolation of m
  /// and the last addition to v are fused, the rest is one rounding per operation.
  /// Loshchilov & Hutter 2019, arXiv:1711.05101.
  void (*adamw)(long count, float *parameter, const float *gradient, float *first_moment,
                float *second_moment, const qlora_adamw_constants *constants);
  /// p ← p·decay − lr · sign(β1·m + (1 − β1)·g), then m ← fma(1 − β2, g, m·β2).
  /// Chen et al. 2023, arXiv:2302.06675.
  void (*lion)(long count, float *parameter, const float *gradient, float *mean,
               const qlora_lion_constants *constants);
  /// g ← fma(wd, p, g), m ← m·momentum + g, p ← fma(−lr, m, p); without `mean`, g stands for m.
  void (*sgd)(long count, float *parameter, const float *gradient, float *mean,
              const qlora_sgd_constants *constants);

  /// Softmax attention, causal unless `sees_all`, tile by tile. Dao et al. 2022, arXiv:2205.14135.
  void (*attention)(const qlora_attention *task);
  /// Writes (does not add to) all three gradients.
  void (*attention_backward)(const qlora_attention_gradients *task);
  /// `attention` for `queries == 1`: no packing, the keys are read once. Scratch is
  /// `qlora_attention_row_scratch(keys, group)` floats; `log_sum_exp` is not written.
  void (*attention_row)(const qlora_attention *task);
} qlora_row_kernels;

extern const qlora_row_kernels qlora_rows_reference;
#if defined(__x86_64__)
/// Needs AVX2, FMA and F16C.
extern const qlora_row_kernels qlora_rows_avx2;
/// Needs AVX-512 F, BW, DQ and VL besides.
extern const qlora_row_kernels qlora_rows_avx512;
/// Needs AMX with bf16 and AVX-512 with bf16 besides: attention of bf16 rows there rounds its
/// factors, probabilities and score gradients among them, to bf16.
extern const qlora_row_kernels qlora_rows_avx512bf16;
extern const qlora_row_kernels qlora_rows_amx;
#elif defined(__aarch64__)
extern const qlora_row_kernels qlora_rows_neon;
#endif
