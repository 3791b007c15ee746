// Counts the heap allocations of one thread. glibc only; elsewhere nothing is counted.
#pragma once
#include <stdbool.h>

/// Whether this platform's allocator can be counted.
bool qlora_counts_allocations(void);

/// Starts counting the calling thread's allocations at zero; those of `large` bytes and more are
/// also counted apart.
void qlora_start_counting(long large);

/// Stops. Allocations of this thread since the start, and the large ones among them.
void qlora_stop_counting(long *all, long *large);
