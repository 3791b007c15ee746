/* The bf16 product on tiles of the matrix unit: 32 x 32 sums in four of its eight registers, 4
 * multiplications for 4 loads of 1 KiB. A multiplication takes 16 cycles, a load from L1 8, so one
 * factor may come from L2. Source: Intel, "64 and IA-32 Architectures Optimization Reference
 * Manual", chapter on AMX. */
#if defined(__x86_64__)
#include "../matrix_slots.h"

#include "begin.h"

/* All eight registers as 16 rows of 64 bytes. */
QLORA_INLINE void begin_tiles(void) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } configuration = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    configuration.row_bytes[i] = 64;
    configuration.rows[i] = 16;
  }
  _tile_loadconfig(&configuration);
}

QLORA_INLINE void load_sums(const float *c, long stride, int accumulate) {
  if (accumulate) {
    _tile_loadd(0, c, stride * 4);
    _tile_loadd(1, c + 16, stride * 4);
    _tile_loadd(2, c + 16 * stride, stride * 4);
    _tile_loadd(3, c + 16 * stride + 16, stride * 4);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
}

void qlora_matrix_product_amx(long parts, const qlora_matrix_part *part, long blocks, float *c,
                              long stride, int accumulate) {
  begin_tiles();
  for (long block = 0; block < blocks; block++, c += 32) {
    load_sums(c, stride, accumulate);
    for (long p = 0; p < parts; p++) {
      const long steps = part[p].steps;
      const uint16_t *rows = part[p].strip;
      const uint16_t *columns = part[p].columns + block * part[p].block_stride;
      for (long s = 0; s < steps; s++) {
        _tile_loadd(4, rows, 64);
        _tile_loadd(6, columns, 64);
        _tile_loadd(7, columns + QLORA_HALF_ELEMENTS, 64);
        _tile_loadd(5, rows + QLORA_HALF_ELEMENTS, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        rows += part[p].strip_stride;
        columns += QLORA_STEP_ELEMENTS;
      }
    }
    _tile_stored(0, c, stride * 4);
    _tile_stored(1, c + 16, stride * 4);
    _tile_stored(2, c + 16 * stride, stride * 4);
    _tile_stored(3, c + 16 * stride + 16, stride * 4);
  }
  _tile_release();
}

double qlora_matrix_peak_amx(long rounds) {
  static const uint16_t zeros[QLORA_HALF_ELEMENTS];
  begin_tiles();
  load_sums(0, 0, 0);
  _tile_loadd(4, zeros, 64);
  _tile_loadd(5, zeros, 64);
  _tile_loadd(6, zeros, 64);
  _tile_loadd(7, zeros, 64);
  for (long i = 0; i < rounds; i++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 4.0 * 16 * 16 * 32 * 2 * (double)rounds;
}

#include "../x86_avx512bf16/end.h"
#endif
