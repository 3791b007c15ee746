// Threads of a block as fibres on one thread of the host: a fibre runs until it waits for its warp
// or its block.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <tuple>
#include <utility>

namespace simulator {

struct Place {
  unsigned x, y, z;
};

struct LaunchPlace {
  Place block, block_size, grid_size;
};

extern LaunchPlace launch_place;

const Place &current_thread();
int lane();
void block_barrier();
void warp_barrier();
unsigned char *dynamic_memory();
[[noreturn]] void stop(const char *why);

// Slots of the running warp that its lanes fill before the barrier; two sets take turns, so that a
// lane may begin its next exchange while another still reads the last.
constexpr size_t slot_bytes = 32;
void *warp_slots();

// What every lane of the warp brought, by lane; valid until the exchange after the next.
template <typename Value> const Value *share(const Value &mine) {
  static_assert(sizeof(Value) <= slot_bytes);
  Value *slots = static_cast<Value *>(warp_slots());
  slots[lane()] = mine;
  warp_barrier();
  return slots;
}

template <typename Value> Value exchange(Value mine, int from) { return share(mine)[from]; }

void begin_copy(void *to, const void *from);
void commit_copies();
void finish_copies(int pending);

// A kernel with its arguments, which the driver has copied.
using Work = std::function<void()>;
// What a kernel and the driver's pointers to its arguments give.
using Binder = std::function<Work(void **)>;

template <typename... Parameters, size_t... index>
Work with_arguments(void (*kernel)(Parameters...), void **arguments,
                    std::index_sequence<index...>) {
  return [kernel, copies = std::make_tuple(
              *static_cast<std::decay_t<Parameters> *>(arguments[index])...)] {
    std::apply(kernel, copies);
  };
}

template <typename... Parameters> Binder wrap(void (*kernel)(Parameters...)) {
  return [kernel](void **arguments) {
    return with_arguments(
        kernel, arguments, std::index_sequence_for<Parameters...>());
  };
}

struct Registration {
  const char *name;
  int threads;
  Binder binder;
  // Dynamic shared memory that a launch may ask for.
  mutable unsigned shared_bytes = 48 << 10;
  const Registration *next;
  Registration(const char *name, int threads, Binder binder);
};

const Registration *find(const char *name);

void set_order(unsigned seed);
void run(const Work &kernel, Place grid, Place block, size_t shared_bytes);

}  // namespace simulator
