// Finding functions by name in NVIDIA's libraries. See qlora_cuda.h.
#define _GNU_SOURCE
#include "qlora_cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef struct symbol {
  const char *name;
  size_t offset;
} symbol;

#define DRIVER(field, name) {name, offsetof(qlora_cuda_driver, field)}
#define COMPILER(field, name) {name, offsetof(qlora_cuda_compiler, field)}
#define PRODUCTS(field, name) {name, offsetof(qlora_cuda_products, field)}
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const symbol driver_symbols[] = {
    DRIVER(init, "cuInit"),
    DRIVER(version, "cuDriverGetVersion"),
    DRIVER(error_name, "cuGetErrorName"),
    DRIVER(device_count, "cuDeviceGetCount"),
    DRIVER(device, "cuDeviceGet"),
    DRIVER(device_name, "cuDeviceGetName"),
    DRIVER(device_attribute, "cuDeviceGetAttribute"),
    DRIVER(device_memory, "cuDeviceTotalMem_v2"),
    DRIVER(context_retain, "cuDevicePrimaryCtxRetain"),
    DRIVER(context_release, "cuDevicePrimaryCtxRelease_v2"),
    DRIVER(context_set, "cuCtxSetCurrent"),
    DRIVER(memory_info, "cuMemGetInfo_v2"),
    DRIVER(allocate, "cuMemAlloc_v2"),
    DRIVER(free, "cuMemFree_v2"),
    DRIVER(allocate_pinned, "cuMemHostAlloc"),
    DRIVER(free_pinned, "cuMemFreeHost"),
    DRIVER(copy_to_device, "cuMemcpyHtoDAsync_v2"),
    DRIVER(copy_to_host, "cuMemcpyDtoHAsync_v2"),
    DRIVER(copy_on_device, "cuMemcpyDtoDAsync_v2"),
    DRIVER(fill, "cuMemsetD8Async"),
    DRIVER(stream_create, "cuStreamCreate"),
    DRIVER(stream_synchronize, "cuStreamSynchronize"),
    DRIVER(stream_destroy, "cuStreamDestroy_v2"),
    DRIVER(stream_wait, "cuStreamWaitEvent"),
    DRIVER(event_create, "cuEventCreate"),
    DRIVER(event_record, "cuEventRecord"),
    DRIVER(event_synchronize, "cuEventSynchronize"),
    DRIVER(event_elapsed, "cuEventElapsedTime"),
    DRIVER(event_destroy, "cuEventDestroy_v2"),
    DRIVER(module_load, "cuModuleLoadData"),
    DRIVER(module_unload, "cuModuleUnload"),
    DRIVER(module_function, "cuModuleGetFunction"),
    DRIVER(function_set, "cuFuncSetAttribute"),
    DRIVER(launch, "cuLaunchKernel"),
    DRIVER(capture_begin, "cuStreamBeginCapture_v2"),
    DRIVER(capture_end, "cuStreamEndCapture"),
    DRIVER(graph_prepare, "cuGraphInstantiateWithFlags"),
    DRIVER(graph_launch, "cuGraphLaunch"),
    DRIVER(graph_destroy, "cuGraphDestroy"),
    DRIVER(prepared_destroy, "cuGraphExecDestroy"),
};

static const symbol compiler_symbols[] = {
    COMPILER(version, "nvrtcVersion"),
    COMPILER(level_count, "nvrtcGetNumSupportedArchs"),
    COMPILER(levels, "nvrtcGetSupportedArchs"),
    COMPILER(create, "nvrtcCreateProgram"),
    COMPILER(compile, "nvrtcCompileProgram"),
    COMPILER(log_size, "nvrtcGetProgramLogSize"),
    COMPILER(log, "nvrtcGetProgramLog"),
    COMPILER(machine_code_size, "nvrtcGetCUBINSize"),
    COMPILER(machine_code, "nvrtcGetCUBIN"),
    COMPILER(assembly_size, "nvrtcGetPTXSize"),
    COMPILER(assembly, "nvrtcGetPTX"),
    COMPILER(destroy, "nvrtcDestroyProgram"),
};

static const symbol products_symbols[] = {
    PRODUCTS(version, "cublasLtGetVersion"),
    PRODUCTS(create, "cublasLtCreate"),
    PRODUCTS(destroy, "cublasLtDestroy"),
    PRODUCTS(product_create, "cublasLtMatmulDescCreate"),
    PRODUCTS(product_destroy, "cublasLtMatmulDescDestroy"),
    PRODUCTS(product_set, "cublasLtMatmulDescSetAttribute"),
    PRODUCTS(layout_create, "cublasLtMatrixLayoutCreate"),
    PRODUCTS(layout_destroy, "cublasLtMatrixLayoutDestroy"),
    PRODUCTS(preference_create, "cublasLtMatmulPreferenceCreate"),
    PRODUCTS(preference_destroy, "cublasLtMatmulPreferenceDestroy"),
    PRODUCTS(preference_set, "cublasLtMatmulPreferenceSetAttribute"),
    PRODUCTS(propose, "cublasLtMatmulAlgoGetHeuristic"),
    PRODUCTS(multiply, "cublasLtMatmul"),
};

static qlora_cuda_outcome load(const char *path, const symbol *symbols, size_t count, void *table,
                               char *reason, size_t capacity) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(reason, capacity, "%s", dlerror());
    return qlora_cuda_not_loaded;
  }
  for (size_t i = 0; i < count; i++) {
    void *address = dlsym(library, symbols[i].name);
    if (!address) {
      snprintf(reason, capacity, "%s", symbols[i].name);
      dlclose(library);
      return qlora_cuda_lacking;
    }
    memcpy((char *)table + symbols[i].offset, &address, sizeof address);
  }
  return qlora_cuda_loaded;
}

qlora_cuda_outcome qlora_cuda_load_driver(const char *path, qlora_cuda_driver *table,
                                          char *reason, size_t capacity) {
  return load(path, driver_symbols, COUNT(driver_symbols), table, reason, capacity);
}

qlora_cuda_outcome qlora_cuda_load_compiler(const char *path, qlora_cuda_compiler *table,
                                            char *reason, size_t capacity) {
  return load(path, compiler_symbols, COUNT(compiler_symbols), table, reason, capacity);
}

qlora_cuda_outcome qlora_cuda_load_products(const char *path, qlora_cuda_products *table,
                                            char *reason, size_t capacity) {
  return load(path, products_symbols, COUNT(products_symbols), table, reason, capacity);
}

bool qlora_cuda_library_path(const void *function, char *path, size_t capacity) {
  Dl_info info;
  if (!dladdr(function, &info) || !info.dli_fname) return false;
  snprintf(path, capacity, "%s", info.dli_fname);
  return true;
}
