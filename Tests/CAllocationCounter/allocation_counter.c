// Stands before glibc's allocator: its names, defined in the program, are what every library calls.
#define _GNU_SOURCE  // RTLD_NEXT
#include "allocation_counter.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

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

// glibc gives a block 16 bytes more where the rest of a hole is too small for another. Swift's
// arrays ask for the size and grow into it, so that the same step took now 1195 allocations and now
// 1194. In blocks that are larger by steps of 64 those bytes can be told and are kept quiet about.
enum { step = 64, overhead = sizeof(size_t) };

static size_t stepped(size_t bytes) {
  if (bytes > PTRDIFF_MAX - step) return bytes;  // refused by glibc
  return (bytes + overhead + step - 1) / step * step - overhead;
}

static size_t counted(size_t bytes) {
  if (counting) {
    all_count++;
    if ((long)bytes >= large_bytes) large_count++;
  }
  return stepped(bytes);
}

size_t malloc_usable_size(void *block) {
  static size_t (*_Atomic usable_size)(void *);
  if (!usable_size) usable_size = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
  return block ? (usable_size(block) + overhead) / step * step - overhead : 0;
}

void *malloc(size_t bytes) { return __libc_malloc(counted(bytes)); }

void *calloc(size_t count, size_t bytes) {
  size_t all;
  if (__builtin_mul_overflow(count, bytes, &all)) return __libc_calloc(count, bytes);
  return __libc_calloc(1, counted(all));
}

void *realloc(void *block, size_t bytes) {
  // Of no bytes it frees, and must be asked for none.
  return __libc_realloc(block, bytes ? counted(bytes) : 0);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  return __libc_memalign(alignment, counted(bytes));
}

void *memalign(size_t alignment, size_t bytes) {
  return __libc_memalign(alignment, counted(bytes));
}

int posix_memalign(void **block, size_t alignment, size_t bytes) {
  *block = __libc_memalign(alignment, counted(bytes));
  return *block ? 0 : ENOMEM;
}
#else
bool qlora_counts_allocations(void) { return false; }
#endif
