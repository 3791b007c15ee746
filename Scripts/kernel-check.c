/* Compares the kernels of one instruction set, named on the command line, with the reference on
 * seeded data. Scripts/check-neon.sh runs it in an emulator, Scripts/soak/sanitize.sh under
 * sanitizers and valgrind. Exit status 1 where one is further off than its rounding allows. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qlora_kernels.h"

enum { ROOM = 48 * 256 };

static int failures;
static float in1[ROOM], in2[ROOM], in3[ROOM], found[2][ROOM];
static uint16_t bits[ROOM], halves[2][ROOM];
static uint8_t codes[ROOM];

static float uniform(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)((double)(state >> 11) / 9007199254740992.0 * 2 - 1);
}

static void fill(void) {
  for (int i = 0; i < ROOM; i++) {
    in1[i] = uniform();
    in2[i] = uniform();
    in3[i] = uniform();
    found[0][i] = found[1][i] = uniform();
    uint32_t word;
    const float value = uniform();
    memcpy(&word, &value, 4);
    bits[i] = halves[0][i] = halves[1][i] = (uint16_t)(word >> 16);
    codes[i] = (uint8_t)(uniform() * 127 + 128);
  }
}

/* Every element: what was not to be written must be unchanged too. */
static void compare(const char *name, double tolerance) {
  for (int i = 0; i < ROOM; i++) {
    const double distance = fabs((double)found[0][i] - (double)found[1][i]);
    if (!(distance <= tolerance) || halves[0][i] != halves[1][i]) {
      printf("%s: element %d: expected %g %04x, found %g %04x\n", name, i, found[0][i],
             halves[0][i], found[1][i], halves[1][i]);
      failures++;
      return;
    }
  }
  printf("%s: same\n", name);
}

/* Runs `call` with k, out and half for the reference and for the other. */
#define CHECK(name, tolerance, table, ...)                                        \
  do {                                                                            \
    fill();                                                                       \
    for (int side = 0; side < 2; side++) {                                        \
      const __typeof__(*reference->table) *k = side ? other->table : reference->table; \
      float *out = found[side];                                                   \
      uint16_t *half = halves[side];                                              \
      (void)half, (void)out;                                                      \
      __VA_ARGS__;                                                                \
    }                                                                             \
    compare(name, tolerance);                                                     \
  } while (0)

static void check_products(const qlora_kernels *reference, const qlora_kernels *other) {
  for (long tokens = 1; tokens <= 48; tokens += 47 - (tokens == 1 ? 41 : 6)) {
    CHECK("pack_f32", 0, product, k->pack_f32(tokens, 37, in1, 41, out));
    CHECK("pack_bf16", 0, product, k->pack_bf16(tokens, 37, bits, 41, out));
    CHECK("unpack_f32", 0, product, k->unpack_f32(tokens, 37, in1, in2, out, 41, 1));
    CHECK("unpack_bf16", 0, product, k->unpack_bf16(tokens, 37, in1, NULL, half, 41));
  }
  for (long vectors = 1; vectors <= 3; vectors++) {
    CHECK("tile", 1e-4, product, k->tile(128, in1, in2, out, vectors, 1));
    CHECK("tile_transposed", 1e-4, product,
          k->tile_transposed(7, in1, 128, in2, out, vectors, vectors % 2));
  }
  CHECK("decode_lines", 0, product, k->decode_lines(9, codes, in1, in2, 2, 4, out));
  CHECK("widen_bf16", 0, product, k->widen_bf16(1003, bits, out));
  CHECK("lane_max", 0, product, {
    int32_t rows[48];
    k->lane_max(65, in1, out, rows);
    for (int i = 0; i < 48; i++) out[48 + i] = (float)rows[i];
  });
  CHECK("lane_exp", 1e-6, product, k->lane_exp(65, out, in1));
  CHECK("lane_exp_sum", 1e-4, product, k->lane_exp_sum(65, in1, in2, out));
}

static void check_rows(const qlora_kernels *reference, const qlora_kernels *other) {
  const qlora_element f32 = qlora_element_f32, bf16 = qlora_element_bf16;
  CHECK("rms_norm", 1e-5, rows,
        k->rms_norm(3, 101, 1e-5f, in1, f32, in2, f32, out, f32, out + 4000));
  CHECK("rms_norm_backward", 1e-5, rows,
        k->rms_norm_backward(3, 101, in1, bits, bf16, in2, f32, in3, out, 1));
  CHECK("silu_multiply", 1e-6, rows, k->silu_multiply(1003, in1, f32, bits, bf16, out, f32));
  CHECK("silu_multiply_backward", 1e-6, rows,
        k->silu_multiply_backward(1003, in1, in2, f32, in3, f32, out, out + 2000));
  CHECK("add", 0, rows, k->add(1003, in1, f32, bits, bf16, half, bf16));
  CHECK("convert", 0, rows, k->convert(1003, in1, f32, half, qlora_element_f16));
  const int32_t positions[3] = {4, 0, 2};
  CHECK("rotary", 1e-6, rows, k->rotary(3, 2, 64, out, f32, positions, in1, in2, 1));
  const qlora_adamw_constants constants = {0.99f, 0.1f, 0.999f, 0.001f, 0.03f, 1e-8f, -1e-3f};
  CHECK("adamw", 0, rows, {
    for (int i = 0; i < 1003; i++) out[4000 + i] = fabsf(out[4000 + i]);
    k->adamw(1003, out, in1, out + 2000, out + 4000, &constants);
  });
  const qlora_lion_constants lion = {0.99f, 0.9f, 0.1f, 0.99f, 0.01f, 1e-3f};
  CHECK("lion", 0, rows, k->lion(1003, out, in1, out + 2000, &lion));
  const qlora_sgd_constants sgd = {0.01f, 0.9f, -1e-3f};
  CHECK("sgd", 0, rows, k->sgd(1003, out, in1, out + 2000, &sgd));
}

static void check_attention(const qlora_kernels *reference, const qlora_kernels *other) {
  static float scratch[1 << 18], sums[2][200];
  const qlora_element f32 = qlora_element_f32;
  enum { rows = 70, size = 16 };
  CHECK("attention and its gradients", 1e-4, rows, {
    qlora_attention task = {
        f32, f32, f32, f32, in1, in2, in3, 2 * size, size, size, 2 * size, rows, rows, 0, 2, size,
        0.25f, out, sums[side], 100, scratch};
    k->attention(&task);
    const qlora_attention_gradients gradients = {
        task, in3 + 6000, out + 4000, out + 8000, out + 10000};
    k->attention_backward(&gradients);
  });
  CHECK("attention_row", 1e-5, rows, {
    const qlora_attention task = {
        f32, f32, f32, f32, in1, in2, in3, 2 * size, size, size, 2 * size, 1, rows, rows - 1, 2,
        size, 0.25f, out, NULL, 0, scratch};
    k->attention_row(&task);
  });
}

int main(int count, char **arguments) {
  const char *name = count > 1 ? arguments[1] : "neon";
  const qlora_kernels *reference = qlora_kernels_for("reference"), *other = qlora_kernels_for(name);
  if (other == NULL) return printf("no table for %s\n", name), 1;
  check_products(reference, other);
  check_rows(reference, other);
  check_attention(reference, other);
  printf("%s: %d kernels differ\n", name, failures);
  return failures > 0;
}
