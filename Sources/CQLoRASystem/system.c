// Files, directories, locks and memory: each function is one system call with its errno made the
// result. See qlora_system.h for the contracts.
#define _GNU_SOURCE
#include "qlora_system.h"

#include <dirent.h>
#include <fcntl.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

static int32_t result(int value) { return value < 0 ? -errno : value; }

void qlora_error_text(int32_t number, char *text, size_t capacity) {
  if (capacity == 0) return;
#if defined(__GLIBC__)
  const char *message = strerror_r(number, text, capacity);
  if (message != text) snprintf(text, capacity, "%s", message);
#else
  if (strerror_r(number, text, capacity) != 0) snprintf(text, capacity, "error %d", number);
#endif
}

int32_t qlora_open_read(const char *path) {
  // Non-blocking, so that opening a pipe that nobody writes returns and is refused below.
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return -errno;
  struct stat status;
  if (fstat(file, &status) < 0) {
    int number = errno;
    close(file);
    return -number;
  }
  if (!S_ISREG(status.st_mode)) {
    close(file);
    return -qlora_error_not_regular;
  }
  return file;
}

int32_t qlora_create_exclusively(const char *path) {
  return result(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
}

int32_t qlora_open_append(const char *path) {
  return result(open(
      path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
}

int32_t qlora_close(int32_t file) { return result(close(file)); }

int64_t qlora_read(int32_t file, void *bytes, size_t count) {
  ssize_t done = read(file, bytes, count);
  return done < 0 ? -errno : done;
}

int64_t qlora_write(int32_t file, const void *bytes, size_t count) {
  ssize_t done = write(file, bytes, count);
  return done < 0 ? -errno : done;
}

int64_t qlora_write_at(int32_t file, const void *bytes, size_t count, int64_t offset) {
  ssize_t done = pwrite(file, bytes, count, offset);
  return done < 0 ? -errno : done;
}

int32_t qlora_truncate(int32_t file, int64_t size) { return result(ftruncate(file, size)); }

int64_t qlora_size(int32_t file) {
  struct stat status;
  return fstat(file, &status) < 0 ? -errno : status.st_size;
}

int32_t qlora_reserve(int32_t file, int64_t size) {
  if (size <= 0) return 0;
#if defined(__linux__)
  int number = posix_fallocate(file, 0, size);
  return number == EOPNOTSUPP || number == EINVAL || number == ENOSYS ? 0 : -number;
#else
  (void)file;
  return 0;
#endif
}

int32_t qlora_synchronize(int32_t file) { return result(fsync(file)); }

int32_t qlora_synchronize_directory(const char *path) {
  int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -errno;
  int32_t outcome = result(fsync(directory));
  close(directory);
  return outcome;
}

int32_t qlora_make_directory(const char *path) { return result(mkdir(path, 0777)); }
int32_t qlora_make_link(const char *path, const char *to) { return result(symlink(to, path)); }
int32_t qlora_remove_file(const char *path) { return result(unlink(path)); }
int32_t qlora_remove_directory(const char *path) { return result(rmdir(path)); }
int32_t qlora_rename(const char *from, const char *to) { return result(rename(from, to)); }

int32_t qlora_rename_exclusively(const char *from, const char *to) {
#if defined(__linux__) && defined(SYS_renameat2)
  const unsigned no_replace = 1;  // RENAME_NOREPLACE, which older headers lack.
  if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, no_replace) == 0) return 0;
  // EPERM is what some sandboxes answer to a system call that they do not know.
  if (errno != ENOSYS && errno != EINVAL && errno != EPERM) return -errno;
#endif
  struct stat status;
  if (lstat(to, &status) == 0) return -EEXIST;
  if (errno != ENOENT) return -errno;
  return result(rename(from, to));
}

int32_t qlora_status(const char *path, int32_t *kind, int64_t *size, int64_t *changed) {
  struct stat status;
  if (lstat(path, &status) < 0) return -errno;
  *kind = S_ISREG(status.st_mode)   ? QLORA_KIND_FILE
          : S_ISDIR(status.st_mode) ? QLORA_KIND_DIRECTORY
                                    : QLORA_KIND_OTHER;
  *size = status.st_size;
#if defined(__APPLE__)
  const struct timespec time = status.st_mtimespec;
#else
  const struct timespec time = status.st_mtim;
#endif
  *changed = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
  return 0;
}

int32_t qlora_touch(const char *path) {
  return result(utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW));
}

int32_t qlora_map(const char *path, int64_t size, const void **address) {
  int file = qlora_open_read(path);
  if (file < 0) return file;
  if (size <= 0 || qlora_size(file) != size) {
    close(file);
    return -qlora_error_not_regular;
  }
  void *memory = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, file, 0);
  int number = errno;
  close(file);
  if (memory == MAP_FAILED) return -number;
  *address = memory;
  return 0;
}

int32_t qlora_unmap(const void *address, int64_t size) {
  return result(munmap((void *)address, (size_t)size));
}

int32_t qlora_list_directory(
    const char *path, void (*visit)(const char *name, void *context), void *context) {
  DIR *directory = opendir(path);
  if (!directory) return -errno;
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(directory);
    if (!entry) break;
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      visit(entry->d_name, context);
    }
  }
  int number = errno;
  closedir(directory);
  return -number;
}

int64_t qlora_free_bytes(const char *path) {
  struct statvfs status;
  if (statvfs(path, &status) < 0) return -errno;
  return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

int32_t qlora_lock(const char *path) {
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (file < 0) return -errno;
  int outcome;
  do outcome = flock(file, LOCK_EX | LOCK_NB);
  while (outcome < 0 && errno == EINTR);
  if (outcome < 0) {
    int number = errno;
    close(file);
    return -number;
  }
  return file;
}

int32_t qlora_process_id(void) { return (int32_t)getpid(); }

bool qlora_process_exists(int32_t process) {
  return process > 0 && (kill(process, 0) == 0 || errno != ESRCH);
}

void qlora_map_allocations_from(size_t byte_count) {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, (int)byte_count);
#else
  (void)byte_count;
#endif
}

int64_t qlora_peak_memory_bytes(void) {
  // VmHWM belongs to this program; ru_maxrss would inherit the peak of whoever started it.
  int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    char text[4096];
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    text[count > 0 ? count : 0] = 0;
    const char *line = strstr(text, "VmHWM:");
    if (line) return strtoll(line + 6, NULL, 10) * 1024;
  }
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) < 0) return 0;
#if defined(__APPLE__)
  return usage.ru_maxrss;
#else
  return (int64_t)usage.ru_maxrss * 1024;
#endif
}
