/* The arithmetic peak of scalar C. */
#include "../product_slots.h"

double qlora_peak_reference(long rounds) {
  float sums[8] = {0};
  for (long i = 0; i < rounds; i++) {
    for (int j = 0; j < 8; j++) sums[j] = sums[j] * 0.5f + 1.0f;
    __asm__ volatile("" : : "r"(sums) : "memory");
  }
  return 16.0 * (double)rounds;
}
