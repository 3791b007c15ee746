// Running blocks of fibres. The order of blocks and of lanes may be any, as on a device, so a
// kernel that gives other bits in another order lacks a barrier.
#include "fibres.h"

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

extern "C" void cuda_simulator_switch(void **from, void *to);

// Saves what a function must keep, changes the stack, and returns as the other fibre.
#if defined(__x86_64__)
__asm__(R"(
.text
.globl cuda_simulator_switch
cuda_simulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#elif defined(__aarch64__)
__asm__(R"(
.text
.globl cuda_simulator_switch
.globl _cuda_simulator_switch
cuda_simulator_switch:
_cuda_simulator_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the simulated device knows x86-64 and AArch64"
#endif

namespace simulator {

LaunchPlace launch_place;

namespace {

constexpr size_t stack_bytes = 128 << 10;
constexpr int warp_size = 32;

enum class State { ready, at_warp, at_block, done };

struct Copy {
  void *to;
  const void *from;
};

struct Fibre {
  void *stack_pointer = nullptr;
  std::unique_ptr<unsigned char[]> stack;
  Place thread;
  State state = State::ready;
  unsigned exchanges = 0;
  std::vector<std::vector<Copy>> copies;
};

struct Warp {
  int arrived = 0, alive = 0;
  alignas(16) unsigned char slots[2][warp_size * slot_bytes];
};

// Those of the largest block so far: stacks are kept from launch to launch.
std::vector<Fibre> fibres;
size_t thread_count;
std::vector<Warp> warps;
std::vector<unsigned char> shared_memory;
const Work *running;
void *scheduler;
int current, alive, arrived;
unsigned order_seed;
const Registration *registrations;

Warp &my_warp() { return warps[current / warp_size]; }

void leave() { cuda_simulator_switch(&fibres[current].stack_pointer, scheduler); }

void release(Warp &warp, size_t first) {
  warp.arrived = 0;
  for (size_t i = first; i < first + warp_size && i < thread_count; i++) {
    if (fibres[i].state == State::at_warp) fibres[i].state = State::ready;
  }
}

void release_block() {
  arrived = 0;
  for (size_t i = 0; i < thread_count; i++) {
    if (fibres[i].state == State::at_block) fibres[i].state = State::ready;
  }
}

[[noreturn]] void fibre_main() {
  (*running)();
  Fibre &mine = fibres[current];
  if (!mine.copies.empty() && !mine.copies.back().empty()) stop("copies that nobody commits");
  mine.state = State::done;
  Warp &warp = my_warp();
  warp.alive--;
  alive--;
  // Threads that have ended count as arrived at the block's barriers.
  if (alive > 0 && arrived == alive) release_block();
  if (warp.arrived > 0) stop("a lane ended while its warp exchanges");
  leave();
  abort();
}

// A stack that `cuda_simulator_switch` returns into.
void prepare(Fibre &fibre) {
  // Without zeros: most of a stack is never touched.
  if (!fibre.stack) fibre.stack.reset(new unsigned char[stack_bytes]);
  auto top = reinterpret_cast<uintptr_t>(fibre.stack.get() + stack_bytes) & ~uintptr_t(63);
#if defined(__x86_64__)
  auto *words = reinterpret_cast<void **>(top) - 8;
  for (int i = 0; i < 8; i++) words[i] = nullptr;
  words[6] = reinterpret_cast<void *>(&fibre_main);
#else
  auto *words = reinterpret_cast<void **>(top) - 20;
  for (int i = 0; i < 20; i++) words[i] = nullptr;
  words[11] = reinterpret_cast<void *>(&fibre_main);
#endif
  fibre.stack_pointer = words;
  fibre.state = State::ready;
  fibre.exchanges = 0;
  fibre.copies.clear();
}

void prepare_block(Place size) {
  const size_t count = size_t(size.x) * size.y * size.z;
  thread_count = count;
  if (fibres.size() < count) fibres.resize(count);
  warps.resize((count + warp_size - 1) / warp_size);
  for (auto &warp : warps) warp.arrived = 0, warp.alive = 0;
  for (size_t i = 0; i < count; i++) {
    prepare(fibres[i]);
    fibres[i].thread = {unsigned(i % size.x), unsigned(i / size.x % size.y),
                        unsigned(i / size.x / size.y)};
    warps[i / warp_size].alive++;
  }
  alive = int(count), arrived = 0;
  // What nobody has written is no number.
  memset(shared_memory.data(), 0xFF, shared_memory.size());
}

std::vector<int> order_of(int count, std::mt19937 &random) {
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  if (order_seed != 0) {
    for (int i = count - 1; i > 0; i--) std::swap(order[i], order[random() % (i + 1)]);
  }
  return order;
}

void run_block(std::mt19937 &random) {
  const auto warp_order = order_of(int(warps.size()), random);
  const auto lane_order = order_of(warp_size, random);
  while (alive > 0) {
    bool did_run = false;
    for (int warp : warp_order) {
      for (bool is_running = true; is_running;) {
        is_running = false;
        for (int lane : lane_order) {
          const size_t index = size_t(warp) * warp_size + lane;
          if (index >= thread_count || fibres[index].state != State::ready) continue;
          current = int(index);
          is_running = did_run = true;
          cuda_simulator_switch(&scheduler, fibres[index].stack_pointer);
        }
      }
    }
    if (!did_run && alive > 0) stop("threads wait for one another in different places");
  }
}

}  // namespace

const Place &current_thread() { return fibres[current].thread; }
int lane() { return current % warp_size; }
unsigned char *dynamic_memory() {
  const auto start = reinterpret_cast<uintptr_t>(shared_memory.data());
  return reinterpret_cast<unsigned char *>((start + 15) & ~uintptr_t(15));
}

void stop(const char *why) {
  fprintf(stderr, "simulated device: %s\n", why);
  abort();
}

void block_barrier() {
  if (++arrived == alive) {
    release_block();
    return;
  }
  fibres[current].state = State::at_block;
  leave();
}

void warp_barrier() {
  Warp &warp = my_warp();
  if (warp.alive != warp_size) stop("an exchange in a warp that is not whole");
  if (++warp.arrived == warp.alive) {
    release(warp, size_t(current / warp_size) * warp_size);
    return;
  }
  fibres[current].state = State::at_warp;
  leave();
}

void *warp_slots() { return my_warp().slots[fibres[current].exchanges++ % 2]; }

// Groups of copies, the last of which is not committed yet.
static std::vector<std::vector<Copy>> &groups_of_mine() {
  auto &groups = fibres[current].copies;
  if (groups.empty()) groups.push_back({});
  return groups;
}

void begin_copy(void *to, const void *from) { groups_of_mine().back().push_back({to, from}); }

void commit_copies() { groups_of_mine().push_back({}); }

void finish_copies(int pending) {
  auto &groups = groups_of_mine();
  while (int(groups.size()) - 1 > pending) {
    for (const Copy &copy : groups.front()) {
      if (copy.from) memcpy(copy.to, copy.from, 16);
      else memset(copy.to, 0, 16);
    }
    groups.erase(groups.begin());
  }
}

Registration::Registration(const char *name, int threads, Binder binder)
    : name(name), threads(threads), binder(std::move(binder)), next(registrations) {
  registrations = this;
}

const Registration *find(const char *name) {
  for (auto *entry = registrations; entry; entry = entry->next) {
    if (strcmp(entry->name, name) == 0) return entry;
  }
  return nullptr;
}

void set_order(unsigned seed) { order_seed = seed; }

void run(const Work &kernel, Place grid, Place block, size_t shared_bytes) {
  running = &kernel;
  shared_memory.resize(shared_bytes + 16);
  std::mt19937 random(order_seed);
  const int count = int(grid.x * grid.y * grid.z);
  for (int index : order_of(count, random)) {
    const unsigned x = unsigned(index) % grid.x, y = unsigned(index) / grid.x % grid.y;
    launch_place = {{x, y, unsigned(index) / grid.x / grid.y}, block, grid};
    prepare_block(block);
    run_block(random);
  }
}

}  // namespace simulator
