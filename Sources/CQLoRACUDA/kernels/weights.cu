// Weights to float32 or bf16: 4 bits, 8 bits and dense. Rows of the result are `out_width` elements
// apart, so that an adapter's columns can follow; `rows` names the weight's rows, null means that
// they follow `first_row`.

// A 4-bit weight as bitsandbytes lays it out: high nibble first, a scale for each block of the
// flattened matrix, plain (`codes` null) or nested.
struct FourBit {
  const u8 *packed;
  const u8 *codes;
  const float *absmax;
  const float *map;
  const float *table;
  float offset;
  int block_shift;
};

static __device__ inline float block_scale(const FourBit &weight, i64 block) {
  if (!weight.codes) return weight.absmax[block];
  // Rounded apart, as the CPU does.
  const float product = __fmul_rn(weight.map[weight.codes[block]], weight.absmax[block / 256]);
  return __fadd_rn(product, weight.offset);
}

QLORA_KERNEL(256, qlora_decode_4bit, FourBit weight, const int *rows, i64 first_row, void *out,
             int out_type, i64 out_width, i64 count, i64 columns) {
  for (i64 i = first_element(); i < count * columns; i += element_step()) {
    const i64 row = i / columns, column = i % columns;
    const i64 flat = (rows ? rows[row] : first_row + row) * columns + column;
    const u8 byte = weight.packed[flat / 2];
    const float value = weight.table[flat % 2 == 0 ? byte >> 4 : byte & 15];
    const float scale = block_scale(weight, flat >> weight.block_shift);
    store_element(out, out_type, row * out_width + column, value * scale);
  }
}

// To a place of a multiple of 8 elements, of float32 or bf16.
static __device__ inline void store_sixteen(const float *values, void *out, int out_type,
                                            i64 place) {
  if (out_type == element_f32) {
    float4 *to = (float4 *)((float *)out + place);
    for (int j = 0; j < 4; j++) {
      const float *v = values + j * 4;
      to[j] = make_float4(v[0], v[1], v[2], v[3]);
    }
  } else {
    uint4 *to = (uint4 *)((u16 *)out + place);
    for (int j = 0; j < 2; j++) {
      const float *v = values + j * 8;
      to[j] = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]),
                         pack_bf16(v[6], v[7]));
    }
  }
}

// The same for rows of a multiple of 16 columns and results whose rows begin at 16 bytes: a thread
// has 16 weights of one block.
QLORA_KERNEL(256, qlora_decode_4bit_wide, FourBit weight, const int *rows, i64 first_row, void *out,
             int out_type, i64 out_width, i64 count, i64 columns) {
  __shared__ float table[16];
  if (threadIdx.x < 16) table[threadIdx.x] = weight.table[threadIdx.x];
  __syncthreads();
  const i64 pieces = columns / 16;
  for (i64 i = first_element(); i < count * pieces; i += element_step()) {
    const i64 row = i / pieces, column = i % pieces * 16;
    const i64 flat = (rows ? rows[row] : first_row + row) * columns + column;
    const float scale = block_scale(weight, flat >> weight.block_shift);
    const uint2 codes = *(const uint2 *)(weight.packed + flat / 2);
    float values[16];
    for (int byte = 0; byte < 8; byte++) {
      const u32 both = (byte < 4 ? codes.x : codes.y) >> (byte % 4 * 8);
      values[byte * 2] = table[both >> 4 & 15] * scale;
      values[byte * 2 + 1] = table[both & 15] * scale;
    }
    store_sixteen(values, out, out_type, row * out_width + column);
  }
}

// A code is a 127th of its row's scale.
static __device__ inline float byte_value(signed char code, float scale) {
  return __fmul_rn(__fmul_rn((float)code, scale), 1 / 127.0f);
}

QLORA_KERNEL(256, qlora_decode_8bit, const signed char *codes, const float *scales, const int *rows,
             i64 first_row, void *out, int out_type, i64 out_width, i64 count, i64 columns) {
  for (i64 i = first_element(); i < count * columns; i += element_step()) {
    const i64 row = i / columns, column = i % columns;
    const i64 from = rows ? rows[row] : first_row + row;
    const float value = byte_value(codes[from * columns + column], scales[from]);
    store_element(out, out_type, row * out_width + column, value);
  }
}

// The same under the conditions of `qlora_decode_4bit_wide`.
QLORA_KERNEL(256, qlora_decode_8bit_wide, const signed char *codes, const float *scales,
             const int *rows, i64 first_row, void *out, int out_type, i64 out_width, i64 count,
             i64 columns) {
  const i64 pieces = columns / 16;
  for (i64 i = first_element(); i < count * pieces; i += element_step()) {
    const i64 row = i / pieces, column = i % pieces * 16;
    const i64 from = rows ? rows[row] : first_row + row;
    const uint4 words = *(const uint4 *)(codes + from * columns + column);
    const u32 fours[4] = {words.x, words.y, words.z, words.w};
    float values[16];
    for (int j = 0; j < 16; j++) {
      values[j] = byte_value((signed char)(fours[j / 4] >> (j % 4 * 8)), scales[from]);
    }
    store_sixteen(values, out, out_type, row * out_width + column);
  }
}

QLORA_KERNEL(256, qlora_decode_dense, const void *weight, int type, const int *rows, i64 first_row,
             void *out, int out_type, i64 out_width, i64 count, i64 columns) {
  for (i64 i = first_element(); i < count * columns; i += element_step()) {
    const i64 row = i / columns, column = i % columns;
    const i64 from = (rows ? rows[row] : first_row + row) * columns + column;
    store_element(out, out_type, row * out_width + column, load_element(weight, type, from));
  }
}
