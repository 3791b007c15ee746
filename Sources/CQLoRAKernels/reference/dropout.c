/* Counter-based dropout. Source: Salmon et al. 2011, Philox4x32-10, SC '11, section 3.3. */
#include "../product_slots.h"

static void philox(uint64_t counter, uint64_t stream, uint64_t key, uint32_t out[4]) {
  uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
  uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

void qlora_dropout_reference(long count, uint64_t first, float rate, uint64_t key,
                             uint64_t stream, const float *in, float *out) {
  const float kept = 1.0f / (1.0f - rate);
  uint32_t words[4];
  for (long i = 0; i < count; i++) {
    uint64_t element = first + (uint64_t)i;
    if (i == 0 || element % 4 == 0) philox(element / 4, stream, key, words);
    /* Compared in double, which holds every 32-bit word exactly. */
    out[i] = (double)words[element % 4] * 0x1p-32 >= (double)rate ? in[i] * kept : 0;
  }
}
