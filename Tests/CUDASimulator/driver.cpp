// The driver and the compiler of the simulated device. Device memory is host memory behind guards,
// and a module is any bytes: its functions are found among the compiled kernels. What is enqueued
// runs as late as a device might run it (streams.h).
#include <cuda_simulator.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "fibres.h"
#include "streams.h"

namespace {

enum { success = 0, invalid_value = 1, out_of_memory = 2, invalid_context = 201 };
enum { not_found = 500, launch_failed = 719 };
enum { capture_unsupported = 900, capture_invalidated = 901 };
enum { attribute_processors = 16, attribute_major = 75, attribute_minor = 76,
       attribute_shared = 97 };
constexpr size_t guard_bytes = 64, fill_bytes = 4 << 20;
constexpr unsigned char guard_value = 0xA5;

using simulator::Guard;
using simulator::lock;

std::map<qlora_cuda_address, size_t> blocks;
// More than all tests together ask for; what is not touched costs nothing.
constexpr size_t memory_bytes = size_t(64) << 30;
size_t used_bytes = 0;

// Pinned memory of the host.
std::map<qlora_cuda_address, size_t> pinned;
// Every thread that calls must have made the context its own.
thread_local bool has_context = false;

// Whether the range lies in one block.
bool is_in(const std::map<qlora_cuda_address, size_t> &blocks, qlora_cuda_address address,
           size_t bytes) {
  auto next = blocks.upper_bound(address);
  if (next == blocks.begin()) return false;
  auto block = std::prev(next);
  return address + bytes <= block->first + block->second;
}

bool is_ours(qlora_cuda_address address, size_t bytes) { return is_in(blocks, address, bytes); }

bool is_pinned(const void *address, size_t bytes) {
  return is_in(pinned, reinterpret_cast<qlora_cuda_address>(address), bytes);
}

int set_context(qlora_cuda_handle context) {
  has_context = context != nullptr;
  return success;
}

int allocate_pinned(void **address, size_t bytes, unsigned) {
  Guard guard(lock);
  *address = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(*address, 0xFF, bytes);
  pinned[reinterpret_cast<qlora_cuda_address>(*address)] = bytes;
  return success;
}

int free_pinned(void *address) {
  Guard guard(lock);
  simulator::finish_all();
  if (pinned.erase(reinterpret_cast<qlora_cuda_address>(address)) == 0) return invalid_value;
  free(address);
  return success;
}

int allocate(qlora_cuda_address *address, size_t bytes) {
  Guard guard(lock);
  if (!has_context) return invalid_context;
  if (bytes == 0) return invalid_value;
  if (used_bytes + bytes > memory_bytes) return out_of_memory;
  auto *memory = static_cast<unsigned char *>(aligned_alloc(256, (bytes + 511) / 256 * 256));
  // What nobody has written is no number; of a very large block the beginning will do.
  memset(memory, 0xFF, bytes < fill_bytes ? bytes : fill_bytes);
  memset(memory + bytes, guard_value, guard_bytes);
  *address = reinterpret_cast<qlora_cuda_address>(memory);
  blocks[*address] = bytes;
  used_bytes += bytes;
  return success;
}

int free_memory(qlora_cuda_address address) {
  Guard guard(lock);
  simulator::finish_all();
  auto block = blocks.find(address);
  if (block == blocks.end()) return invalid_value;
  auto *memory = reinterpret_cast<unsigned char *>(address);
  for (size_t i = 0; i < guard_bytes; i++) {
    if (memory[block->second + i] != guard_value) simulator::stop("a kernel wrote past its memory");
  }
  used_bytes -= block->second;
  blocks.erase(block);
  free(memory);
  return success;
}

// Memory that is not pinned is read and written at once, as the driver does by way of its own.
int copy_to_device(qlora_cuda_address to, const void *from, size_t bytes,
                   qlora_cuda_handle stream) {
  Guard guard(lock);
  if (!has_context) return invalid_context;
  if (!is_ours(to, bytes)) return invalid_value;
  if (!is_pinned(from, bytes) && simulator::spoils_capture(stream)) return capture_unsupported;
  simulator::enqueue(stream, [=] { memcpy(reinterpret_cast<void *>(to), from, bytes); });
  if (!is_pinned(from, bytes)) simulator::finish(stream);
  return success;
}

int copy_to_host(void *to, qlora_cuda_address from, size_t bytes, qlora_cuda_handle stream) {
  Guard guard(lock);
  if (!has_context) return invalid_context;
  if (!is_ours(from, bytes)) return invalid_value;
  if (!is_pinned(to, bytes) && simulator::spoils_capture(stream)) return capture_unsupported;
  simulator::enqueue(stream, [=] { memcpy(to, reinterpret_cast<const void *>(from), bytes); });
  if (!is_pinned(to, bytes)) simulator::finish(stream);
  return success;
}

int copy_on_device(qlora_cuda_address to, qlora_cuda_address from, size_t bytes,
                   qlora_cuda_handle stream) {
  Guard guard(lock);
  if (!is_ours(to, bytes) || !is_ours(from, bytes)) return invalid_value;
  simulator::enqueue(stream, [=] {
    memcpy(reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), bytes);
  });
  return success;
}

int fill(qlora_cuda_address address, unsigned char value, size_t bytes, qlora_cuda_handle stream) {
  Guard guard(lock);
  if (!has_context) return invalid_context;
  if (!is_ours(address, bytes)) return invalid_value;
  simulator::enqueue(stream, [=] { memset(reinterpret_cast<void *>(address), value, bytes); });
  return success;
}

// What a block may have of shared memory on devices of levels 9.0 and 8.6.
constexpr int wide_shared_bytes = 232448, narrow_shared_bytes = 101376;

int attribute(int *value, int attribute, int) {
  switch (attribute) {
    case attribute_processors: *value = 4; return success;
    case attribute_major: *value = 9; return success;
    case attribute_minor: *value = 0; return success;
    case attribute_shared: *value = wide_shared_bytes; return success;
    default: return invalid_value;
  }
}

int memory_info(size_t *free, size_t *total) {
  Guard guard(lock);
  *total = memory_bytes;
  *free = memory_bytes - used_bytes;
  return success;
}

int module_function(qlora_cuda_handle *function, qlora_cuda_handle, const char *name) {
  const auto *found = simulator::find(name);
  if (!found) return not_found;
  *function = const_cast<simulator::Registration *>(found);
  return success;
}

int launch(qlora_cuda_handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
           unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
           qlora_cuda_handle stream, void **arguments, void **) {
  Guard guard(lock);
  if (!has_context) return invalid_context;
  const auto &kernel = *static_cast<simulator::Registration *>(function);
  if (grid_x == 0 || grid_y == 0 || grid_z == 0) return invalid_value;
  if (grid_x > 0x7FFFFFFF || grid_y > 65535 || grid_z > 65535) return invalid_value;
  if (shared_bytes > kernel.shared_bytes) return invalid_value;
  if (block_x * block_y * block_z != unsigned(kernel.threads)) return invalid_value;
  const simulator::Place grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
  simulator::enqueue(stream, [=, work = kernel.binder(arguments)] {
    simulator::run(work, grid, block, shared_bytes);
  });
  return success;
}

// More shared memory than a launch may ask for by itself.
int set_function(qlora_cuda_handle function, int attribute, int value) {
  Guard guard(lock);
  if (attribute != 8 || value < 0 || value > wide_shared_bytes) return invalid_value;
  static_cast<simulator::Registration *>(function)->shared_bytes = unsigned(value);
  return success;
}

int synchronize(qlora_cuda_handle stream) {
  Guard guard(lock);
  if (simulator::spoils_capture(stream)) return capture_unsupported;
  simulator::finish(stream);
  return success;
}

int begin_capture(qlora_cuda_handle stream, int mode) {
  Guard guard(lock);
  if (!has_context) return invalid_context;
  return mode == 2 && simulator::begin_capture(stream) ? success : invalid_value;
}

int end_capture(qlora_cuda_handle stream, qlora_cuda_handle *graph) {
  Guard guard(lock);
  if (!has_context) return invalid_context;
  *graph = simulator::end_capture(stream);
  return *graph ? success : capture_invalidated;
}

// The prepared graph is the graph itself, which then lives on.
int prepare_graph(qlora_cuda_handle *prepared, qlora_cuda_handle graph, unsigned long long) {
  if (!has_context) return invalid_context;
  *prepared = graph;
  return success;
}

int launch_graph(qlora_cuda_handle prepared, qlora_cuda_handle stream) {
  Guard guard(lock);
  if (!has_context) return invalid_context;
  simulator::launch_graph(prepared, stream);
  return success;
}

int handle(qlora_cuda_handle *handle) {
  static int something;
  *handle = &something;
  return success;
}

int nothing(qlora_cuda_handle) { return success; }

int error_name(int error, const char **name) {
  *name = error == out_of_memory  ? "CUDA_ERROR_OUT_OF_MEMORY"
        : error == launch_failed ? "CUDA_ERROR_LAUNCH_FAILED"
        : error == invalid_context ? "CUDA_ERROR_INVALID_CONTEXT"
        : error == not_found     ? "CUDA_ERROR_NOT_FOUND"
                                 : "CUDA_ERROR_INVALID_VALUE";
  return success;
}

// MARK: The frail device: the same one, with little memory and an end

size_t frail_bytes = size_t(1) << 30, frail_used = 0;
long launches_left = -1;
std::map<qlora_cuda_address, size_t> frail_blocks;

bool is_lost() {
  Guard guard(lock);
  return launches_left == 0;
}

int frail_allocate(qlora_cuda_address *address, size_t bytes) {
  Guard guard(lock);
  if (is_lost()) return launch_failed;
  if (frail_used + bytes > frail_bytes) return out_of_memory;
  const int status = allocate(address, bytes);
  if (status != success) return status;
  frail_blocks[*address] = bytes;
  frail_used += bytes;
  return success;
}

int frail_free(qlora_cuda_address address) {
  Guard guard(lock);
  auto block = frail_blocks.find(address);
  if (block == frail_blocks.end()) return invalid_value;
  frail_used -= block->second;
  frail_blocks.erase(block);
  return free_memory(address);
}

int frail_info(size_t *free, size_t *total) {
  Guard guard(lock);
  *total = frail_bytes;
  *free = frail_bytes > frail_used ? frail_bytes - frail_used : 0;
  return success;
}

int frail_launch(qlora_cuda_handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                 unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                 qlora_cuda_handle stream, void **arguments, void **extra) {
  Guard guard(lock);
  if (is_lost()) return launch_failed;
  if (launches_left > 0) launches_left--;
  return launch(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes, stream,
                arguments, extra);
}

int frail_graph_launch(qlora_cuda_handle prepared, qlora_cuda_handle stream) {
  return is_lost() ? launch_failed : launch_graph(prepared, stream);
}

int frail_wait(qlora_cuda_handle stream) {
  return is_lost() ? launch_failed : synchronize(stream);
}

int frail_copy_to_device(qlora_cuda_address to, const void *from, size_t bytes,
                         qlora_cuda_handle stream) {
  return is_lost() ? launch_failed : copy_to_device(to, from, bytes, stream);
}

int frail_copy_to_host(void *to, qlora_cuda_address from, size_t bytes,
                       qlora_cuda_handle stream) {
  return is_lost() ? launch_failed : copy_to_host(to, from, bytes, stream);
}

int device_name(char *name, int capacity, int) {
  strncpy(name, "simulated device", size_t(capacity));
  return success;
}

}  // namespace

void cuda_simulator_set_order(unsigned seed) {
  Guard guard(lock);
  simulator::finish_all();
  simulator::set_order(seed);
}

const qlora_cuda_driver *cuda_simulator_driver(void) {
  static const qlora_cuda_driver table = {
      .init = [](unsigned) { return 0; },
      .version = [](int *version) { return *version = 12040, 0; },
      .error_name = error_name,
      .device_count = [](int *count) { return *count = 1, 0; },
      .device = [](int *device, int ordinal) { return *device = ordinal, 0; },
      .device_name = device_name,
      .device_attribute = attribute,
      .device_memory = [](size_t *bytes, int) { return *bytes = memory_bytes, 0; },
      .context_retain = [](qlora_cuda_handle *context, int) { return handle(context); },
      .context_release = [](int) { return 0; },
      .context_set = set_context,
      .memory_info = memory_info,
      .allocate = allocate,
      .free = free_memory,
      .allocate_pinned = allocate_pinned,
      .free_pinned = free_pinned,
      .copy_to_device = copy_to_device,
      .copy_to_host = copy_to_host,
      .copy_on_device = copy_on_device,
      .fill = fill,
      .stream_create = [](qlora_cuda_handle *stream, unsigned) {
        Guard guard(lock);
        return *stream = simulator::make_stream(), 0;
      },
      .stream_synchronize = synchronize,
      .stream_destroy = [](qlora_cuda_handle stream) {
        Guard guard(lock);
        return simulator::end_stream(stream), 0;
      },
      .stream_wait = [](qlora_cuda_handle stream, qlora_cuda_handle event, unsigned) {
        Guard guard(lock);
        if (simulator::spoils_capture(stream)) return int(capture_unsupported);
        return simulator::wait_for(stream, event), 0;
      },
      .event_create = [](qlora_cuda_handle *event, unsigned) {
        Guard guard(lock);
        return *event = simulator::make_event(), 0;
      },
      .event_record = [](qlora_cuda_handle event, qlora_cuda_handle stream) {
        Guard guard(lock);
        if (simulator::spoils_capture(stream)) return int(capture_unsupported);
        return simulator::record(event, stream), 0;
      },
      .event_synchronize = [](qlora_cuda_handle event) {
        Guard guard(lock);
        return simulator::reach(event), 0;
      },
      .event_elapsed = [](float *time, qlora_cuda_handle, qlora_cuda_handle) {
        return *time = 0, 0;
      },
      .event_destroy = [](qlora_cuda_handle event) {
        Guard guard(lock);
        return simulator::end_event(event), 0;
      },
      .module_load = [](qlora_cuda_handle *module, const void *) { return handle(module); },
      .module_unload = nothing,
      .module_function = module_function,
      .function_set = set_function,
      .launch = launch,
      .capture_begin = begin_capture,
      .capture_end = end_capture,
      .graph_prepare = prepare_graph,
      .graph_launch = launch_graph,
      .graph_destroy = nothing,
      .prepared_destroy = [](qlora_cuda_handle graph) {
        Guard guard(lock);
        return simulator::end_graph(graph), 0;
      },
  };
  return &table;
}

const qlora_cuda_driver *cuda_simulator_refusing_driver(void) {
  static const qlora_cuda_driver table = [] {
    qlora_cuda_driver table = *cuda_simulator_driver();
    table.launch = [](qlora_cuda_handle function, unsigned grid_x, unsigned grid_y,
                      unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                      unsigned shared_bytes, qlora_cuda_handle stream, void **arguments,
                      void **extra) {
      Guard guard(lock);
      if (simulator::spoils_capture(stream)) return int(capture_unsupported);
      return launch(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes,
                    stream, arguments, extra);
    };
    return table;
  }();
  return &table;
}

const qlora_cuda_driver *cuda_simulator_narrow_driver(void) {
  static const qlora_cuda_driver table = [] {
    qlora_cuda_driver table = *cuda_simulator_driver();
    table.device_attribute = [](int *value, int number, int device) {
      if (number != attribute_shared) return attribute(value, number, device);
      return *value = narrow_shared_bytes, int(success);
    };
    table.function_set = [](qlora_cuda_handle function, int number, int value) {
      return value > narrow_shared_bytes ? int(invalid_value)
                                         : set_function(function, number, value);
    };
    return table;
  }();
  return &table;
}

const qlora_cuda_driver *cuda_simulator_frail_driver(void) {
  static const qlora_cuda_driver table = [] {
    qlora_cuda_driver table = *cuda_simulator_driver();
    table.allocate = frail_allocate;
    table.free = frail_free;
    table.memory_info = frail_info;
    table.launch = frail_launch;
    table.graph_launch = frail_graph_launch;
    table.stream_synchronize = frail_wait;
    table.copy_to_device = frail_copy_to_device;
    table.copy_to_host = frail_copy_to_host;
    return table;
  }();
  return &table;
}

void cuda_simulator_set_memory(size_t bytes) {
  Guard guard(lock);
  frail_bytes = bytes;
}

void cuda_simulator_lose_after(long launches) {
  Guard guard(lock);
  launches_left = launches;
}

const qlora_cuda_compiler *cuda_simulator_compiler(void) {
  static const char code[] = "simulated machine code";
  static const qlora_cuda_compiler table = {
      .version = [](int *major, int *minor) { return *major = 12, *minor = 4, 0; },
      .level_count = [](int *count) { return *count = 2, 0; },
      .levels = [](int *levels) { return levels[0] = 80, levels[1] = 90, 0; },
      .create = [](qlora_cuda_handle *program, const char *, const char *, int,
                   const char *const *, const char *const *) { return handle(program); },
      .compile = [](qlora_cuda_handle, int, const char *const *) { return 0; },
      .log_size = [](qlora_cuda_handle, size_t *bytes) { return *bytes = 1, 0; },
      .log = [](qlora_cuda_handle, char *log) { return log[0] = 0, 0; },
      .machine_code_size = [](qlora_cuda_handle, size_t *bytes) {
        return *bytes = sizeof code, 0;
      },
      .machine_code = [](qlora_cuda_handle, char *to) { return memcpy(to, code, sizeof code), 0; },
      .assembly_size = [](qlora_cuda_handle, size_t *bytes) { return *bytes = sizeof code, 0; },
      .assembly = [](qlora_cuda_handle, char *to) { return memcpy(to, code, sizeof code), 0; },
      .destroy = [](qlora_cuda_handle *) { return 0; },
  };
  return &table;
}
