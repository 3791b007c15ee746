// Signals as a flag that the training loop polls. The handler touches nothing but lock-free
// atomics and, on a second interrupt, leaves.
#define _GNU_SOURCE
#include "qlora_system.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic int pending_signal;
static _Atomic int interrupt_count;

static void on_signal(int signal_number) {
  int none = 0;
  atomic_compare_exchange_strong(&pending_signal, &none, signal_number);
  // The user insists. Nothing needs cleaning: committed files are never open for writing.
  if (signal_number == SIGINT && atomic_fetch_add(&interrupt_count, 1) > 0) {
    _exit(128 + SIGINT);
  }
}

int32_t qlora_signals_install(void) {
  static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
  struct sigaction action = {0};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = on_signal;
  for (unsigned i = 0; i < sizeof caught / sizeof caught[0]; i++) {
    struct sigaction previous;
    if (sigaction(caught[i], NULL, &previous) < 0) return -errno;
    // nohup ignores SIGHUP on purpose.
    if (caught[i] == SIGHUP && previous.sa_handler == SIG_IGN) continue;
    if (sigaction(caught[i], &action, NULL) < 0) return -errno;
  }
  // Programs that start others from a thread pool often leave them with these blocked.
  sigset_t set;
  sigemptyset(&set);
  for (unsigned i = 0; i < sizeof caught / sizeof caught[0]; i++) sigaddset(&set, caught[i]);
  int failure = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  if (failure != 0) return -failure;
  return qlora_signals_spare_writes();
}

int32_t qlora_signals_spare_writes(void) {
  struct sigaction action = {0};
  sigemptyset(&action.sa_mask);
  action.sa_handler = SIG_IGN;
  if (sigaction(SIGXFSZ, &action, NULL) < 0) return -errno;
  return sigaction(SIGPIPE, &action, NULL) < 0 ? -errno : 0;
}

int32_t qlora_signals_pending(void) { return atomic_load(&pending_signal); }

void qlora_signals_clear(void) {
  atomic_store(&pending_signal, 0);
  atomic_store(&interrupt_count, 0);
}
