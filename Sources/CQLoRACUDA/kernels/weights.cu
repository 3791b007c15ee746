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

// Eight as bf16.
static __device__ inline uint4 pack_eight(const float *values) {
  return make_uint4(pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]),
                    pack_bf16(values[4], values[5]), pack_bf16(values[6], values[7]));
}

// The same in bf16 for rows of a multiple of 16 columns and results whose rows begin at 16 bytes: a
// thread has 16 weights of one block.
QLORA_KERNEL(256, qlora_decode_4bit_wide, FourBit weight, const int *rows, i64 first_row, u16 *out,
             i64 out_width, i64 count, i64 columns) {
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
    uint4 *to = (uint4 *)(out + row * out_width + column);
    to[0] = pack_eight(values);
    to[1] = pack_eight(values + 8);
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

QLORA_KERNEL(256, qlora_decode_dense, const void *weight, int type, const int *rows, i64 first_row,
             void *out, int out_type, i64 out_width, i64 count, i64 columns) {
  for (i64 i = first_element(); i < count * columns; i += element_step()) {
    const i64 row = i / columns, column = i % columns;
    const i64 from = (rows ? rows[row] : first_row + row) * columns + column;
    store_element(out, out_type, row * out_width + column, load_element(weight, type, from));
  }
}

// MARK: Eight at a time

// Eight elements of a 4-bit weight, which lie in one block of scales and in one word of codes.
struct FourBitEights {
  const FourBit &weight;
  const float *table;

  __device__ void eight(i64, i64 flat, float *values) const {
    const float scale = block_scale(weight, flat >> weight.block_shift);
    const u32 codes = *(const u32 *)(weight.packed + flat / 2);
    for (int byte = 0; byte < 4; byte++) {
      values[byte * 2] = table[codes >> (byte * 8 + 4) & 15] * scale;
      values[byte * 2 + 1] = table[codes >> (byte * 8) & 15] * scale;
    }
  }
};

// Eight elements of a weight in 8 bits.
struct ByteEights {
  const signed char *codes;
  const float *scales;

  __device__ void eight(i64 row, i64 flat, float *values) const {
    const uint2 words = *(const uint2 *)(codes + flat);
    for (int j = 0; j < 8; j++) {
      const u32 four = j < 4 ? words.x : words.y;
      values[j] = byte_value((signed char)(four >> (j % 4 * 8)), scales[row]);
    }
  }
};

// Eight elements of a dense weight, or of an input.
struct DenseEights {
  const void *weight;
  int type;

  __device__ void eight(i64, i64 flat, float *values) const {
    if (type == element_f32) {
      const float4 low = ((const float4 *)weight)[flat / 4];
      const float4 high = ((const float4 *)weight)[flat / 4 + 1];
      values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
      values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
      return;
    }
    const uint4 words = ((const uint4 *)weight)[flat / 8];
    const u32 pairs[4] = {words.x, words.y, words.z, words.w};
    for (int i = 0; i < 4; i++) {
      const u16 low = (u16)pairs[i], high = (u16)(pairs[i] >> 16);
      values[i * 2] = type == element_bf16 ? bf16_float(low) : f16_float(low);
      values[i * 2 + 1] = type == element_bf16 ? bf16_float(high) : f16_float(high);
    }
  }
};

// To a place of a multiple of 8 elements, of float32 or bf16.
static __device__ inline void store_eight(const float *values, void *out, int out_type,
                                          i64 place) {
  if (out_type == element_f32) {
    float4 *to = (float4 *)((float *)out + place);
    to[0] = make_float4(values[0], values[1], values[2], values[3]);
    to[1] = make_float4(values[4], values[5], values[6], values[7]);
  } else {
    *(uint4 *)((u16 *)out + place) = pack_eight(values);
  }
}

// For rows of a multiple of 8 columns and results whose rows begin at 16 bytes. A thread has
// several eights before it stores the first, so that their memory is waited for together; 32 bits
// number them.
static constexpr int decoded_together = 4;
template <typename Weight>
static __device__ inline void decode_eights(const Weight &weight, const int *rows, i64 first_row,
                                            void *out, int out_type, i64 out_width, i64 count,
                                            i64 columns) {
  const u32 width = (u32)columns / 8, eights = (u32)count * width, step = (u32)element_step();
  for (u32 first = (u32)first_element(); first < eights; first += decoded_together * step) {
    float values[decoded_together][8];
    i64 places[decoded_together];
#pragma unroll
    for (int j = 0; j < decoded_together; j++) {
      // Past the end the last is read again, but not stored.
      const u32 eight = first + j * step < eights ? first + j * step : eights - 1;
      const u32 row = eight / width, column = (eight - row * width) * 8;
      const i64 from = rows ? rows[row] : first_row + row;
      weight.eight(from, from * columns + column, values[j]);
      places[j] = row * out_width + column;
    }
#pragma unroll
    for (int j = 0; j < decoded_together; j++) {
      if (first + j * step < eights) store_eight(values[j], out, out_type, places[j]);
    }
  }
}

QLORA_KERNEL(256, qlora_decode_4bit_eights, FourBit weight, const int *rows, i64 first_row,
             void *out, int out_type, i64 out_width, i64 count, i64 columns) {
  __shared__ float table[16];
  if (threadIdx.x < 16) table[threadIdx.x] = weight.table[threadIdx.x];
  __syncthreads();
  decode_eights(FourBitEights{weight, table}, rows, first_row, out, out_type, out_width, count,
                columns);
}

QLORA_KERNEL(256, qlora_decode_8bit_eights, const signed char *codes, const float *scales,
             const int *rows, i64 first_row, void *out, int out_type, i64 out_width, i64 count,
             i64 columns) {
  decode_eights(ByteEights{codes, scales}, rows, first_row, out, out_type, out_width, count,
                columns);
}
