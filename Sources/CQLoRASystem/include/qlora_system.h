/* The system calls that Swift libraries lack: durable files, exclusive renames, advisory locks and
 * signals that only set a flag. Policy (what to retry, what to report) lives in QLoRASystem.
 *
 * Every function that can fail returns a value >= 0, or the negated errno. */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Error numbers that the Swift side tells apart. */
static const int32_t qlora_error_interrupted = EINTR;
static const int32_t qlora_error_full = ENOSPC;
static const int32_t qlora_error_quota = EDQUOT;
static const int32_t qlora_error_io = EIO;
static const int32_t qlora_error_exists = EEXIST;
static const int32_t qlora_error_not_empty = ENOTEMPTY;
static const int32_t qlora_error_missing = ENOENT;
static const int32_t qlora_error_not_directory = ENOTDIR;
static const int32_t qlora_error_denied = EACCES;
static const int32_t qlora_error_not_permitted = EPERM;
static const int32_t qlora_error_read_only = EROFS;
static const int32_t qlora_error_would_block = EWOULDBLOCK;
static const int32_t qlora_error_not_regular = EINVAL;
static const int32_t qlora_error_loop = ELOOP;

/* What a path is; symbolic links are not followed. */
enum qlora_kind { QLORA_KIND_FILE = 0, QLORA_KIND_DIRECTORY = 1, QLORA_KIND_OTHER = 2 };

/* Writes the text of an error number, always terminated. */
void qlora_error_text(int32_t number, char *text, size_t capacity);

/* Opening: close-on-exec everywhere, no links followed in the last component, never a pipe. */
int32_t qlora_open_read(const char *path);
int32_t qlora_create_exclusively(const char *path);
int32_t qlora_open_append(const char *path);
int32_t qlora_close(int32_t file);

int64_t qlora_read(int32_t file, void *bytes, size_t count);
int64_t qlora_write(int32_t file, const void *bytes, size_t count);
int64_t qlora_write_at(int32_t file, const void *bytes, size_t count, int64_t offset);
int32_t qlora_truncate(int32_t file, int64_t size);
int64_t qlora_size(int32_t file);
/* Reserves blocks; 0 too where the file system cannot, since the write then finds out. */
int32_t qlora_reserve(int32_t file, int64_t size);
int32_t qlora_synchronize(int32_t file);
int32_t qlora_synchronize_directory(const char *path);

int32_t qlora_make_directory(const char *path);
/* Makes the symbolic link `path`. */
int32_t qlora_make_link(const char *path, const char *to);
int32_t qlora_remove_file(const char *path);
int32_t qlora_remove_directory(const char *path);
int32_t qlora_rename(const char *from, const char *to);
/* Fails with EEXIST where `to` exists. Without renameat2 (old kernels, some file systems) a check
 * and a rename, which callers make safe by holding the run's lock. */
int32_t qlora_rename_exclusively(const char *from, const char *to);
/* Kind, size and time of the last change of a path, in nanoseconds since 1970. */
int32_t qlora_status(const char *path, int32_t *kind, int64_t *size, int64_t *changed);
/* Makes now the time of the last change of a path. */
int32_t qlora_touch(const char *path);
/* Names in a directory except . and .. */
int32_t qlora_list_directory(
    const char *path, void (*visit)(const char *name, void *context), void *context);
/* Bytes that an unprivileged process may still write. */
int64_t qlora_free_bytes(const char *path);

/* Opens or creates `path` and takes an exclusive advisory lock; EWOULDBLOCK where another holds
 * it. The lock goes with the descriptor, also when the process is killed. */
int32_t qlora_lock(const char *path);
int32_t qlora_process_id(void);
bool qlora_process_exists(int32_t process);

/* SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU set a flag; a second SIGINT leaves at once
 * with status 130; writes are spared as below. */
int32_t qlora_signals_install(void);
/* A reader that is gone (SIGPIPE) and a file over its limit (SIGXFSZ) are errors of the write. */
int32_t qlora_signals_spare_writes(void);
/* The first signal since the last clear, or 0. */
int32_t qlora_signals_pending(void);
void qlora_signals_clear(void);

/* Maps a regular file of exactly `size` bytes for reading, shared with all who map it. */
int32_t qlora_map(const char *path, int64_t size, const void **address);
int32_t qlora_unmap(const void *address, int64_t size);

/* Opens a regular file for reads around the page cache, where the file system has such reads. */
int32_t qlora_open_direct(const char *path);
/* Reads at an offset and leaves nothing in the page cache. Direct reads need offset, count and
 * memory at multiples of 4096; at the end of the file fewer bytes come. */
int64_t qlora_read_at(int32_t file, void *bytes, size_t count, int64_t offset);
/* Maps the first `size` bytes of a file for reading and writing; writes reach the file. */
int32_t qlora_map_shared(const char *path, int64_t size, void **address);
/* Begins to read a part of a mapping, which begins at a page; comes back before it is there. */
int32_t qlora_map_will_need(void *address, int64_t size);
/* Lets go of a part of a shared mapping, which begins at a page: its content stays in the file. */
int32_t qlora_map_release(void *address, int64_t size);

/* The peak resident size of this process in bytes, or 0 where the system does not say. */
int64_t qlora_peak_memory_bytes(void);
/* Gives every allocation of at least this size memory of its own from the system, and back to it,
 * where the C library can be told so (glibc). */
void qlora_map_allocations_from(size_t byte_count);
