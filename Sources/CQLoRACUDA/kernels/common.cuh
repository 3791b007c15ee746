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
  asm volatile(
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

static __device__ inline float warp_sum(float value) {
  for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(~0u, value, apart);
  return value;
}

// The sum over a block of `threads`, the same in every thread and in one order for all runs.
template <int threads, typename Number>
static __device__ inline Number block_sum(Number value, Number *scratch) {
  scratch[threadIdx.x] = value;
  __syncthreads();
  for (int apart = threads / 2; apart > 0; apart /= 2) {
    if ((int)threadIdx.x < apart) scratch[threadIdx.x] += scratch[threadIdx.x + apart];
    __syncthreads();
  }
  const Number sum = scratch[0];
  __syncthreads();
  return sum;
}

// MARK: The largest

struct Largest {
  float value;
  int place;
};

// The larger; of equals the one that comes first.
static __device__ inline Largest larger(Largest a, Largest b) {
  return b.value > a.value || (b.value == a.value && b.place < a.place) ? b : a;
}

template <int threads>
static __device__ inline Largest block_largest(Largest mine, Largest *scratch) {
  scratch[threadIdx.x] = mine;
  __syncthreads();
  for (int apart = threads / 2; apart > 0; apart /= 2) {
    if ((int)threadIdx.x < apart) {
      scratch[threadIdx.x] = larger(scratch[threadIdx.x], scratch[threadIdx.x + apart]);
    }
    __syncthreads();
  }
  const Largest largest = scratch[0];
  __syncthreads();
  return largest;
}
