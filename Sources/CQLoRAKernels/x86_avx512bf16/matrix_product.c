/* The bf16 product with dot products of pairs in AVX-512: for each pair of the reduction two
 * vectors of columns meet up to 12 rows, whose pairs are broadcast, in 24 sums. */
#if defined(__x86_64__)
#include "../matrix_slots.h"

#include "begin.h"

/* Rows of a strip that are summed at a time: 24 sums, a pair of columns and a row fill the
 * registers. */
enum { MOST_ROWS = 12 };

typedef struct {
  __m512 at[MOST_ROWS][2];
} pair_sums;

QLORA_INLINE __m512bh pairs_at(const uint16_t *x) { return (__m512bh)_mm512_loadu_si512(x); }

/* One pair of one row in all lanes. */
QLORA_INLINE __m512bh pair_of(const uint16_t *x) {
  int pair;
  memcpy(&pair, x, sizeof pair);
  return (__m512bh)_mm512_set1_epi32(pair);
}

/* One step of a strip's `count` rows from `rows` on, a constant, and of a block of columns. */
QLORA_INLINE void add_step(const long count, const uint16_t *rows, const uint16_t *columns,
                           pair_sums *sums) {
#pragma clang loop unroll(disable)
  for (long pair = 0; pair < QLORA_STEP / 2; pair++) {
    const __m512bh low = pairs_at(columns + 32 * pair);
    const __m512bh high = pairs_at(columns + QLORA_HALF_ELEMENTS + 32 * pair);
#pragma clang loop unroll(full)
    for (long row = 0; row < count; row++) {
      const __m512bh factor = pair_of(rows + row * QLORA_STEP_ROW + 2 * pair);
      sums->at[row][0] = _mm512_dpbf16_ps(sums->at[row][0], factor, low);
      sums->at[row][1] = _mm512_dpbf16_ps(sums->at[row][1], factor, high);
    }
  }
}

/* `count` rows of c from `first` on, for block `block` of the columns. */
QLORA_INLINE void multiply_rows(const long count, long first, long parts,
                                const qlora_matrix_part *part, long block, float *c, long stride,
                                int accumulate) {
  pair_sums sums;
  c += first * stride + 32 * block;
#pragma clang loop unroll(full)
  for (long row = 0; row < count; row++) {
    for (long half = 0; half < 2; half++) {
      sums.at[row][half] =
          accumulate ? _mm512_loadu_ps(c + row * stride + 16 * half) : _mm512_setzero_ps();
    }
  }
  for (long p = 0; p < parts; p++) {
    const uint16_t *rows = part[p].strip + first * QLORA_STEP_ROW;
    const uint16_t *columns = part[p].columns + block * part[p].block_stride;
    for (long step = 0; step < part[p].steps; step++) {
      add_step(count, rows, columns, &sums);
      rows += part[p].strip_stride;
      columns += QLORA_STEP_ELEMENTS;
    }
  }
#pragma clang loop unroll(full)
  for (long row = 0; row < count; row++) {
    for (long half = 0; half < 2; half++) {
      _mm512_storeu_ps(c + row * stride + 16 * half, sums.at[row][half]);
    }
  }
}

void qlora_matrix_product_avx512bf16(long parts, const qlora_matrix_part *part, long blocks,
                                     float *c, long stride, int accumulate) {
  for (long block = 0; block < blocks; block++) {
    multiply_rows(MOST_ROWS, 0, parts, part, block, c, stride, accumulate);
    multiply_rows(MOST_ROWS, MOST_ROWS, parts, part, block, c, stride, accumulate);
    multiply_rows(QLORA_STRIP_ROWS - 2 * MOST_ROWS, 2 * MOST_ROWS, parts, part, block, c, stride,
                  accumulate);
  }
}

double qlora_matrix_peak_avx512bf16(long rounds) {
  static const uint16_t zeros[32];
  pair_sums sums;
  const __m512bh factor = pairs_at(zeros);
  for (int i = 0; i < MOST_ROWS; i++) sums.at[i][0] = sums.at[i][1] = _mm512_setzero_ps();
  for (long round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < MOST_ROWS; i++) {
      for (int half = 0; half < 2; half++) {
        sums.at[i][half] = _mm512_dpbf16_ps(sums.at[i][half], factor, factor);
        __asm__ volatile("" : "+v"(sums.at[i][half]));
      }
    }
  }
  return 2.0 * MOST_ROWS * 32 * 2 * (double)rounds;
}

#include "end.h"
#endif
