// What every kernel is written with. No header of CUDA is needed: NVRTC compiles this text as it
// is, and Tests/CUDASimulator compiles it for the host, where device.h has said the rest before.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef QLORA_SIMULATED
#define QLORA_KERNEL(threads, name, ...) \
  extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
// The same where a multiprocessor shall hold so many blocks.
#define QLORA_KERNEL_OF(threads, blocks, name, ...) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(__VA_ARGS__)
#define QLORA_DYNAMIC_SHARED(name) extern __shared__ __align__(16) u8 name[]

static __device__ inline u32 float_bits(float value) { return __float_as_uint(value); }
static __device__ inline float bits_float(u32 bits) { return __uint_as_float(bits); }

// Two floats as bf16, the first in the low half.
static __device__ inline u32 pack_bf16(float low, float high) {
  u32 packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

// c [16][8] += a [16][16] · b [16][8], spread over the warp as PTX lays it out.
static __device__ inline void mma_bf16(float *c, const u32 *a, u32 b0, u32 b1) {
  asm(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8×8 matrices of 16-bit elements out of shared memory; each lane names one row.
static __device__ inline void load_matrices(u32 *to, const u16 *row) {
  const u32 place = (u32)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(place)
               : "memory");
}

static __device__ inline void load_transposed(u32 *to, const u16 *row) {
  const u32 place = (u32)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(place)
               : "memory");
}

// 16 bytes to shared memory while the warp goes on; zeros where there is nothing to copy.
static __device__ inline void copy_async(void *to, const void *from, bool is_there) {
  const u32 place = (u32)__cvta_generic_to_shared(to);
  const int bytes = is_there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(bytes)
               : "memory");
}
static __device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Of `threads` threads of a block that name the same number, from 1 to 15.
static __device__ inline void group_barrier(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// 2ˣ, to two units in the last place; subnormals are 0.
static __device__ inline float power_of_two(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

// Waits until at most `pending` groups are under way.
template <int pending> static __device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}
#endif

// MARK: Elements

enum ElementType { element_f32 = 0, element_bf16 = 1, element_f16 = 2 };

static __device__ inline u16 bf16_bits(float value) {
  const u32 bits = float_bits(value);
  if (value != value) return (u16)(bits >> 16 | 0x40);
  return (u16)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static __device__ inline float bf16_float(u16 bits) { return bits_float((u32)bits << 16); }

static __device__ inline float f16_float(u16 half) {
  const u32 sign = (u32)(half & 0x8000) << 16, magnitude = half & 0x7FFF;
  if (magnitude >= 0x7C00) {
    return bits_float(sign | 0x7F800000 | (magnitude & 0x3FF) << 13
                      | (magnitude > 0x7C00 ? 0x400000 : 0));
  }
  // Times 2^112: the exponent's bias goes from 15 to 127, exactly so for subnormals too.
  return bits_float(sign | float_bits(bits_float(magnitude << 13) * 5.192296858534828e33f));
}

static __device__ inline u16 f16_bits(float value) {
  const u32 bits = float_bits(value), magnitude = bits & 0x7FFFFFFF;
  const u16 sign = (u16)(bits >> 16 & 0x8000);
  if (magnitude > 0x7F800000) return (u16)(sign | 0x7E00 | (magnitude >> 13 & 0x1FF));
  if (magnitude >= 0x477FF000) return (u16)(sign | 0x7C00);  // 65520 and more become infinity
  if (magnitude < 0x38800000) {  // below 2^-14: adding 1/2 leaves the rounded subnormal's bits
    return (u16)(sign | (float_bits(bits_float(magnitude) + 0.5f) - 0x3F000000));
  }
  return (u16)(sign | (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13);
}

static __device__ inline float load_element(const void *x, int type, i64 index) {
  if (type == element_f32) return ((const float *)x)[index];
  const u16 bits = ((const u16 *)x)[index];
  return type == element_bf16 ? bf16_float(bits) : f16_float(bits);
}

static __device__ inline void store_element(void *x, int type, i64 index, float value) {
  if (type == element_f32) {
    ((float *)x)[index] = value;
  } else {
    ((u16 *)x)[index] = type == element_bf16 ? bf16_bits(value) : f16_bits(value);
  }
}

// MARK: Pieces: as many elements as a thread takes at once

// A number of elements that a loop's body is compiled for.
template <int n> struct Width {
  static constexpr int count = n;
};

// Elements in one go through a matrix or a row whose pieces lie in whole words; else it is one.
static constexpr int piece = 8;

template <int n> struct Elements {
  float at[n];
};

template <int n>
static __device__ inline void add(Elements<n> &sum, const Elements<n> &elements) {
  for (int i = 0; i < n; i++) sum.at[i] += elements.at[i];
}

// `n` elements as they lie in memory: fetched before anybody waits for the first of them.
template <int n> struct Packed {
  int type;
  u32 words[n];
};

static __device__ inline bool is_whole(const void *x) { return ((u64)x & 15) == 0; }
static __device__ inline int element_bytes(int type) { return type == element_f32 ? 4 : 2; }

// Whether rows of `stride` elements from `x` on all begin with a piece in whole words.
static __device__ inline bool is_whole(const void *x, int type, i64 stride) {
  return is_whole(x) && (stride * element_bytes(type)) % 16 == 0;
}

template <int count> static __device__ inline void load_words(const void *x, u32 *words) {
  if constexpr (count % 4 == 0) {
    for (int i = 0; i < count / 4; i++) {
      const uint4 four = ((const uint4 *)x)[i];
      words[4 * i] = four.x, words[4 * i + 1] = four.y;
      words[4 * i + 2] = four.z, words[4 * i + 3] = four.w;
    }
  } else {
    const uint2 two = *(const uint2 *)x;
    words[0] = two.x, words[1] = two.y;
  }
}

template <int count> static __device__ inline void store_words(void *x, const u32 *words) {
  if constexpr (count % 4 == 0) {
    for (int i = 0; i < count / 4; i++) {
      ((uint4 *)x)[i] =
          make_uint4(words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
    }
  } else {
    *(uint2 *)x = make_uint2(words[0], words[1]);
  }
}

template <int n>
static __device__ inline Packed<n> fetch(const void *x, int type, i64 index, Width<n>) {
  Packed<n> packed;
  packed.type = type;
  if constexpr (n == 1) {
    packed.words[0] = type == element_f32 ? ((const u32 *)x)[index] : ((const u16 *)x)[index];
  } else if (type == element_f32) {
    load_words<n>((const float *)x + index, packed.words);
  } else {
    load_words<n / 2>((const u16 *)x + index, packed.words);
  }
  return packed;
}

template <int n> static __device__ inline Elements<n> unpack(const Packed<n> &packed) {
  Elements<n> elements;
  if (packed.type == element_f32) {
    for (int i = 0; i < n; i++) elements.at[i] = bits_float(packed.words[i]);
  } else if (packed.type == element_bf16) {
    for (int i = 0; i < n; i++) {
      const u32 pair = packed.words[i / 2];
      elements.at[i] = bits_float(i % 2 ? pair & 0xFFFF0000 : pair << 16);
    }
  } else {
    for (int i = 0; i < n; i++) {
      elements.at[i] = f16_float((u16)(packed.words[i / 2] >> (i % 2 * 16)));
    }
  }
  return elements;
}

template <int n>
static __device__ inline Elements<n> load(const void *x, int type, i64 index, Width<n> width) {
  return unpack(fetch(x, type, index, width));
}

template <int n>
static __device__ inline void store(void *x, int type, i64 index, const Elements<n> &elements) {
  u32 words[n];
  if constexpr (n == 1) {
    store_element(x, type, index, elements.at[0]);
  } else if (type == element_f32) {
    for (int i = 0; i < n; i++) words[i] = float_bits(elements.at[i]);
    store_words<n>((float *)x + index, words);
  } else {
    for (int i = 0; i < n / 2; i++) {
      const float low = elements.at[2 * i], high = elements.at[2 * i + 1];
      words[i] = type == element_bf16 ? pack_bf16(low, high)
                                      : f16_bits(low) | (u32)f16_bits(high) << 16;
    }
    store_words<n / 2>((u16 *)x + index, words);
  }
}

// MARK: Soft caps: cap · tanh(x / cap); 0 caps nothing

static __device__ inline float capped(float value, float cap) {
  return cap > 0 ? cap * tanhf(value / cap) : value;
}

// The slope at what `capped` gave.
static __device__ inline float cap_slope(float result, float cap) {
  const float bent = cap > 0 ? result / cap : 0;
  return 1 - bent * bent;
}

// MARK: Places and sums

static __device__ inline i64 first_element() {
  return (i64)blockIdx.x * blockDim.x + threadIdx.x;
}
static __device__ inline i64 element_step() { return (i64)gridDim.x * blockDim.x; }

// body(first, width) for all pieces of `count` elements, in any grid.
template <typename Body>
static __device__ inline void for_elements(i64 count, bool is_whole, Body body) {
  const i64 whole = is_whole ? count / piece : 0;
  for (i64 i = first_element(); i < whole; i += element_step()) body(i * piece, Width<piece>());
  const i64 rest = whole * piece;
  for (i64 i = rest + first_element(); i < count; i += element_step()) body(i, Width<1>());
}

// Threads that share something: the number of this one, and how many there are.
struct Share {
  i64 first, step;
};

// body(row, first, width) for all pieces of a matrix, by any number of threads; of rows that are no
// multiple of a piece the rest goes one by one.
template <typename Body>
static __device__ inline void for_matrix(Share share, i64 rows, i64 columns, bool is_whole,
                                         Body body) {
  const int width = is_whole ? piece : 1;
  const i64 pieces = (columns + width - 1) / width;
  for (i64 i = share.first; i < rows * pieces; i += share.step) {
    // Divisions of 64 bits take longer than the memory does.
    const i64 row = (u64)(rows * pieces) >> 32 ? i / pieces : (u32)i / (u32)pieces;
    const i64 first = (i - row * pieces) * width;
    if (is_whole && first + piece <= columns) {
      body(row, first, Width<piece>());
    } else {
      for (i64 j = first; j < first + width && j < columns; j++) body(row, j, Width<1>());
    }
  }
}

// The same by the whole grid.
template <typename Body>
static __device__ inline void for_matrix(i64 rows, i64 columns, bool is_whole, Body body) {
  for_matrix(Share{first_element(), element_step()}, rows, columns, is_whole, body);
}

template <typename Number> static __device__ inline Number warp_sum(Number value) {
  for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(~0u, value, apart);
  return value;
}

// The sum over a warp, or a block of `threads`, the same in every thread and in one order for all
// runs. `scratch` has room for each warp's.
template <int threads, typename Number>
static __device__ inline Number block_sum(Number value, Number *scratch) {
  value = warp_sum(value);
  if constexpr (threads > 32) {
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    value = scratch[0];
    for (int warp = 1; warp < threads / 32; warp++) value += scratch[warp];
    // Whoever comes next may write there.
    __syncthreads();
  }
  return value;
}

// The largest over a block of `threads`, which any order gives; `scratch` has room for each warp's.
template <int threads>
static __device__ inline float block_maximum(float value, float *scratch) {
  for (int apart = 16; apart > 0; apart /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0u, value, apart));
  }
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  for (int warp = 0; warp < threads / 32; warp++) value = fmaxf(value, scratch[warp]);
  __syncthreads();
  return value;
}

// MARK: The largest and its place

struct Largest {
  float value;
  int place;
};

// The larger; of equals the one that comes first.
static __device__ inline Largest larger(Largest a, Largest b) {
  return b.value > a.value || (b.value == a.value && b.place < a.place) ? b : a;
}

// The same for a block of `threads`, in every thread; `scratch` has room for each warp's.
template <int threads>
static __device__ inline Largest block_largest(Largest mine, Largest *scratch) {
  for (int apart = 16; apart > 0; apart /= 2) {
    const Largest other = {__shfl_xor_sync(~0u, mine.value, apart),
                           __shfl_xor_sync(~0u, mine.place, apart)};
    mine = larger(mine, other);
  }
  if constexpr (threads > 32) {
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = mine;
    __syncthreads();
    mine = scratch[0];
    for (int warp = 1; warp < threads / 32; warp++) mine = larger(mine, scratch[warp]);
    __syncthreads();
  }
  return mine;
}
