// What CUDA C++ says, for a host compiler: kernels are ordinary functions, threads are fibres of
// fibres.h, and what a warp does together goes through slots that its lanes fill and read.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "fibres.h"

#pragma clang fp contract(off)

#define QLORA_SIMULATED 1
#define __device__
#define __shared__ static
#define __grid_constant__
#define QLORA_KERNEL(threads, name, ...)                              \
  static void name(__VA_ARGS__);                                      \
  static const simulator::Registration name##_entry(#name, threads, simulator::wrap(name)); \
  static void name(__VA_ARGS__)
#define QLORA_KERNEL_OF(threads, blocks, ...) QLORA_KERNEL(threads, __VA_ARGS__)
#define QLORA_DYNAMIC_SHARED(name) unsigned char *name = simulator::dynamic_memory()

#define threadIdx (simulator::current_thread())
#define blockIdx (simulator::launch_place.block)
#define blockDim (simulator::launch_place.block_size)
#define gridDim (simulator::launch_place.grid_size)

struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

static inline float2 make_float2(float x, float y) { return {x, y}; }

static inline int max(int a, int b) { return a > b ? a : b; }
static inline int min(int a, int b) { return a < b ? a : b; }

static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }

static inline void __syncthreads() { simulator::block_barrier(); }

template <typename Value> static inline Value __shfl_xor_sync(unsigned, Value value, int mask) {
  return simulator::exchange(value, simulator::lane() ^ mask);
}

static inline float __shfl_sync(unsigned, float value, int from) {
  return simulator::exchange(value, from);
}

static inline uint32_t float_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

static inline float bits_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static inline uint32_t pack_bf16(float low, float high) {
  auto round = [](float value) {
    const uint32_t bits = float_bits(value);
    if (value != value) return bits >> 16 | 0x40;
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  };
  return round(low) | round(high) << 16;
}

// The groups come here equally often, so that all may wait for all.
static inline void group_barrier(int, int) { simulator::block_barrier(); }

static inline float power_of_two(float x) { return exp2f(x); }

// The registers that a lane brings to a product: of a, then of b.
struct Fragments {
  uint32_t at[6];
};

// Source: PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
static inline void mma_bf16(float *c, const uint32_t *a, uint32_t b0, uint32_t b1) {
  const Fragments mine = {{a[0], a[1], a[2], a[3], b0, b1}};
  const Fragments *all = simulator::share(mine);
  const int row = simulator::lane() / 4, column = simulator::lane() % 4 * 2;
  auto element = [](uint32_t pair, int half) {
    return bits_float(half ? pair & 0xFFFF0000 : pair << 16);
  };
  for (int i = 0; i < 4; i++) {
    const int lower = i / 2, n = column + i % 2;
    float sum = c[i];
    for (int k = 0; k < 16; k++) {
      const int pair = k % 8 / 2, high = k / 8;
      sum += element(all[row * 4 + pair].at[high * 2 + lower], k % 2)
           * element(all[n * 4 + pair].at[4 + high], k % 2);
    }
    c[i] = sum;
  }
}

static inline void load_rows(uint32_t *to, const uint16_t *row, bool is_transposed) {
  const uint16_t *const *rows = simulator::share(row);
  const int first = simulator::lane() / 4, second = simulator::lane() % 4 * 2;
  for (int matrix = 0; matrix < 4; matrix++) {
    const uint16_t *const *eight = rows + matrix * 8;
    const uint32_t low = is_transposed ? eight[second][first] : eight[first][second];
    const uint32_t high = is_transposed ? eight[second + 1][first] : eight[first][second + 1];
    to[matrix] = low | high << 16;
  }
}

static inline void load_matrices(uint32_t *to, const uint16_t *row) { load_rows(to, row, false); }
static inline void load_transposed(uint32_t *to, const uint16_t *row) { load_rows(to, row, true); }

// A copy arrives when its group is waited for, so that a wait that is missing shows.
static inline void copy_async(void *to, const void *from, bool is_there) {
  if ((uintptr_t)to % 16 != 0 || (uintptr_t)from % 16 != 0) simulator::stop("misaligned copy");
  simulator::begin_copy(to, is_there ? from : nullptr);
}
static inline void commit_copies() { simulator::commit_copies(); }
template <int pending> static inline void wait_for_copies() { simulator::finish_copies(pending); }
