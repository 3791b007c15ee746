/* The functions of NVIDIA's driver, of NVRTC and of cuBLASLt that the GPU backend calls, as tables:
   filled from the libraries of a machine by `qlora_cuda_load_…`, or by the simulated device of the
   tests. Nothing of CUDA is needed to build. Names, types and numbers are those of NVIDIA's binary
   interface, which versions 12 and 13 share; every function returns 0 for success. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma clang assume_nonnull begin

typedef uint64_t qlora_cuda_address;
typedef void *qlora_cuda_handle;

/* libcuda: memory, streams and kernels of one device. */
typedef struct qlora_cuda_driver {
  int (*init)(unsigned flags);
  int (*version)(int *version);
  int (*error_name)(int error, const char *_Nullable *_Nonnull name);
  int (*device_count)(int *count);
  int (*device)(int *device, int ordinal);
  int (*device_name)(char *name, int capacity, int device);
  int (*device_attribute)(int *value, int attribute, int device);
  int (*device_memory)(size_t *bytes, int device);
  int (*context_retain)(qlora_cuda_handle _Nullable *_Nonnull context, int device);
  int (*context_release)(int device);
  int (*context_set)(qlora_cuda_handle _Nullable context);
  int (*memory_info)(size_t *free, size_t *total);
  int (*allocate)(qlora_cuda_address *address, size_t bytes);
  int (*free)(qlora_cuda_address address);
  int (*allocate_pinned)(void *_Nullable *_Nonnull address, size_t bytes, unsigned flags);
  int (*free_pinned)(void *address);
  int (*copy_to_device)(qlora_cuda_address to, const void *from, size_t bytes,
                        qlora_cuda_handle stream);
  int (*copy_to_host)(void *to, qlora_cuda_address from, size_t bytes, qlora_cuda_handle stream);
  int (*copy_on_device)(qlora_cuda_address to, qlora_cuda_address from, size_t bytes,
                        qlora_cuda_handle stream);
  int (*fill)(qlora_cuda_address address, unsigned char value, size_t bytes,
              qlora_cuda_handle stream);
  int (*stream_create)(qlora_cuda_handle _Nullable *_Nonnull stream, unsigned flags);
  int (*stream_synchronize)(qlora_cuda_handle stream);
  int (*stream_destroy)(qlora_cuda_handle stream);
  int (*stream_wait)(qlora_cuda_handle stream, qlora_cuda_handle event, unsigned flags);
  int (*event_create)(qlora_cuda_handle _Nullable *_Nonnull event, unsigned flags);
  int (*event_record)(qlora_cuda_handle event, qlora_cuda_handle stream);
  int (*event_synchronize)(qlora_cuda_handle event);
  int (*event_elapsed)(float *milliseconds, qlora_cuda_handle start, qlora_cuda_handle end);
  int (*event_destroy)(qlora_cuda_handle event);
  int (*module_load)(qlora_cuda_handle _Nullable *_Nonnull module, const void *image);
  int (*module_unload)(qlora_cuda_handle module);
  int (*module_function)(qlora_cuda_handle _Nullable *_Nonnull function,
                         qlora_cuda_handle module, const char *name);
  int (*function_set)(qlora_cuda_handle function, int attribute, int value);
  int (*launch)(qlora_cuda_handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                qlora_cuda_handle stream, void *_Nullable *_Nonnull arguments,
                void *_Nullable *_Nullable extra);
  int (*capture_begin)(qlora_cuda_handle stream, int mode);
  int (*capture_end)(qlora_cuda_handle stream, qlora_cuda_handle _Nullable *_Nonnull graph);
  int (*graph_prepare)(qlora_cuda_handle _Nullable *_Nonnull prepared, qlora_cuda_handle graph,
                       unsigned long long flags);
  int (*graph_launch)(qlora_cuda_handle prepared, qlora_cuda_handle stream);
  int (*graph_destroy)(qlora_cuda_handle graph);
  int (*prepared_destroy)(qlora_cuda_handle prepared);
} qlora_cuda_driver;

/* NVRTC: CUDA C++ to machine code, with or without a device. */
typedef struct qlora_cuda_compiler {
  int (*version)(int *major, int *minor);
  int (*level_count)(int *count);
  int (*levels)(int *levels);
  int (*create)(qlora_cuda_handle _Nullable *_Nonnull program, const char *source,
                const char *name, int headers, const char *_Nullable const *_Nullable texts,
                const char *_Nullable const *_Nullable names);
  int (*compile)(qlora_cuda_handle program, int count,
                 const char *_Nullable const *_Nonnull options);
  int (*log_size)(qlora_cuda_handle program, size_t *bytes);
  int (*log)(qlora_cuda_handle program, char *log);
  int (*machine_code_size)(qlora_cuda_handle program, size_t *bytes);
  int (*machine_code)(qlora_cuda_handle program, char *code);
  int (*assembly_size)(qlora_cuda_handle program, size_t *bytes);
  int (*assembly)(qlora_cuda_handle program, char *text);
  int (*destroy)(qlora_cuda_handle _Nullable *_Nonnull program);
} qlora_cuda_compiler;

/* What cuBLASLt proposes for one product; opaque but for the state. */
typedef struct qlora_cuda_algorithm {
  uint64_t algorithm[8];
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
} qlora_cuda_algorithm;

/* cuBLASLt: matrix products. */
typedef struct qlora_cuda_products {
  size_t (*version)(void);
  int (*create)(qlora_cuda_handle _Nullable *_Nonnull handle);
  int (*destroy)(qlora_cuda_handle handle);
  int (*product_create)(qlora_cuda_handle _Nullable *_Nonnull product, int compute, int scale);
  int (*product_destroy)(qlora_cuda_handle product);
  int (*product_set)(qlora_cuda_handle product, int attribute, const void *value, size_t bytes);
  int (*layout_create)(qlora_cuda_handle _Nullable *_Nonnull layout, int type, uint64_t rows,
                       uint64_t columns, int64_t stride);
  int (*layout_destroy)(qlora_cuda_handle layout);
  int (*preference_create)(qlora_cuda_handle _Nullable *_Nonnull preference);
  int (*preference_destroy)(qlora_cuda_handle preference);
  int (*preference_set)(qlora_cuda_handle preference, int attribute, const void *value,
                        size_t bytes);
  int (*propose)(qlora_cuda_handle handle, qlora_cuda_handle product, qlora_cuda_handle a,
                 qlora_cuda_handle b, qlora_cuda_handle c, qlora_cuda_handle d,
                 qlora_cuda_handle preference, int wanted, qlora_cuda_algorithm *results,
                 int *found);
  int (*multiply)(qlora_cuda_handle handle, qlora_cuda_handle product, const void *alpha,
                  qlora_cuda_address a, qlora_cuda_handle a_layout, qlora_cuda_address b,
                  qlora_cuda_handle b_layout, const void *beta, qlora_cuda_address c,
                  qlora_cuda_handle c_layout, qlora_cuda_address d, qlora_cuda_handle d_layout,
                  const void *algorithm, qlora_cuda_address workspace, size_t workspace_bytes,
                  qlora_cuda_handle stream);
} qlora_cuda_products;

/* What became of loading one library. */
typedef enum qlora_cuda_outcome {
  qlora_cuda_loaded,
  /* There is no such file, or it does not load. */
  qlora_cuda_not_loaded,
  /* It loads, and lacks a function. */
  qlora_cuda_lacking,
} qlora_cuda_outcome;

/* Each opens the library at `path` (a file, or a name for the system's loader) for the life of the
   process and fills the table. Else `reason` has the loader's words, or the function's name. */
qlora_cuda_outcome qlora_cuda_load_driver(const char *path, qlora_cuda_driver *table,
                                          char *reason, size_t capacity);
qlora_cuda_outcome qlora_cuda_load_compiler(const char *path, qlora_cuda_compiler *table,
                                            char *reason, size_t capacity);
qlora_cuda_outcome qlora_cuda_load_products(const char *path, qlora_cuda_products *table,
                                            char *reason, size_t capacity);

/* Writes the file that a loaded function of a table came from. */
bool qlora_cuda_library_path(const void *function, char *path, size_t capacity);

/* Puts functions that compute nothing in the place of all that would reach the device. */
void qlora_cuda_make_hollow(qlora_cuda_driver *driver, qlora_cuda_products *products);

/* The kernels' texts by name, and what stands before each of them. */
typedef struct qlora_cuda_source {
  const char *name;
  const char *text;
} qlora_cuda_source;

extern const qlora_cuda_source qlora_cuda_common;
extern const int qlora_cuda_source_count;
qlora_cuda_source qlora_cuda_source_at(int index);

#pragma clang assume_nonnull end

#ifdef __cplusplus
}
#endif
