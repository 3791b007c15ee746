// Files as storage for what does not fit into memory: reads around the page cache, and mappings
// that are written back. See qlora_system.h for the contracts.
#define _GNU_SOURCE
#include "qlora_system.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int32_t qlora_open_direct(const char *path) {
  int file = qlora_open_read(path);
  if (file < 0) return file;
#if defined(O_DIRECT)
  // Where the file system has no such reads, the flag is refused and reads are plain ones.
  int flags = fcntl(file, F_GETFL);
  if (flags >= 0) (void)fcntl(file, F_SETFL, flags | O_DIRECT);
#elif defined(F_NOCACHE)
  (void)fcntl(file, F_NOCACHE, 1);
#endif
  return file;
}

int64_t qlora_read_at(int32_t file, void *bytes, size_t count, int64_t offset) {
  ssize_t done = pread(file, bytes, count, offset);
#if defined(O_DIRECT)
  if (done < 0 && errno == EINVAL) {
    // A device whose blocks are larger than our alignment.
    int flags = fcntl(file, F_GETFL);
    if (flags >= 0 && (flags & O_DIRECT)) {
      (void)fcntl(file, F_SETFL, flags & ~O_DIRECT);
      done = pread(file, bytes, count, offset);
    }
  }
#endif
  if (done < 0) return -errno;
#if defined(POSIX_FADV_DONTNEED)
  // What a plain read left in the page cache; nothing after a direct one.
  (void)posix_fadvise(file, offset, done, POSIX_FADV_DONTNEED);
#endif
  return done;
}

int32_t qlora_map_shared(const char *path, int64_t size, void **address) {
  int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return -errno;
  void *memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  int number = errno;
  close(file);
  if (memory == MAP_FAILED) return -number;
  *address = memory;
  return 0;
}

int32_t qlora_map_will_need(void *address, int64_t size) {
  return madvise(address, (size_t)size, MADV_WILLNEED) < 0 ? -errno : 0;
}

int32_t qlora_map_release(void *address, int64_t size) {
#if defined(__linux__)
  // Of a shared mapping this drops the pages from the process, never what was written.
  return madvise(address, (size_t)size, MADV_DONTNEED) < 0 ? -errno : 0;
#else
  return msync(address, (size_t)size, MS_ASYNC) < 0 ? -errno : 0;
#endif
}
