// Stands before glibc's allocator: its names, defined in the program, are what every library calls.
#include "allocation_counter.h"

#include <errno.h>
#include <stddef.h>

static _Thread_local bool counting;
static _Thread_local long all_count, large_count, large_bytes;

void qlora_start_counting(long large) {
  all_count = 0;
  large_count = 0;
  large_bytes = large;
  counting = true;
}

void qlora_stop_counting(long *all, long *large) {
  counting = false;
  *all = all_count;
  *large = large_count;
}

#if defined(__linux__) && defined(__GLIBC__)
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

bool qlora_counts_allocations(void) { return true; }

static void note(size_t bytes) {
  if (!counting) return;
  all_count++;
  if ((long)bytes >= large_bytes) large_count++;
}

void *malloc(size_t bytes) {
  note(bytes);
  return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
  note(count * bytes);
  return __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes) {
  note(bytes);
  return __libc_realloc(block, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  note(bytes);
  return __libc_memalign(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  note(bytes);
  return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **block, size_t alignment, size_t bytes) {
  note(bytes);
  *block = __libc_memalign(alignment, bytes);
  return *block ? 0 : ENOMEM;
}
#else
bool qlora_counts_allocations(void) { return false; }
#endif
