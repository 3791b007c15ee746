// Signals set a flag once; a second interrupt leaves at once. Each case runs in a forked child,
// because handlers belong to a whole process.
import QLoRASystem
import Testing

#if canImport(Glibc)
  import Glibc

  @Suite struct SignalsTests {
    /// Runs `body` in a child and returns its exit status, or −signal where one killed it.
    // `fork` is hidden from Swift because a child may not use its runtime; `body` makes only system
    // calls.
    private func statusOfChild(_ body: () -> Int32) -> Int32 {
      typealias Fork = @convention(c) () -> pid_t
      let fork = unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)
      let child = fork()
      if child == 0 {
        // Tests run on worker threads, which block signals.
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_UNBLOCK, &all, nil)
        _exit(body())
      }
      var status: Int32 = 0
      waitpid(child, &status, 0)
      return status & 0x7F == 0 ? (status >> 8) & 0xFF : -(status & 0x7F)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU])
    func setsAFlag(signal: Int32) {
      let status = statusOfChild {
        Signals.install()
        if Signals.pending != nil { return 200 }
        raise(signal)
        let seen = Signals.pending
        Signals.clear()
        return Signals.pending == nil ? seen ?? 201 : 202
      }
      #expect(status == signal)
    }

    @Test func aSecondInterruptLeavesAtOnce() {
      let status = statusOfChild {
        Signals.install()
        raise(SIGINT)
        raise(SIGINT)
        return 1
      }
      #expect(status == 130)
    }

    @Test func aSecondTerminationDoesNot() {
      let status = statusOfChild {
        Signals.install()
        raise(SIGTERM)
        raise(SIGTERM)
        raise(SIGINT)
        return Signals.pending ?? 0
      }
      #expect(status == SIGTERM)
    }

    @Test func brokenPipesAreOrdinaryErrors() {
      let status = statusOfChild {
        Signals.install()
        raise(SIGPIPE)
        return Signals.pending == nil ? 3 : 4
      }
      #expect(status == 3)
    }

    /// What every command does; interrupts still end those that write nothing in steps.
    @Test func writesAreSparedAlone() {
      let status = statusOfChild {
        // Another test's handler may be the whole process's.
        signal(SIGTERM, SIG_DFL)
        Signals.spareWrites()
        raise(SIGPIPE)
        raise(SIGXFSZ)
        raise(SIGTERM)
        return 1
      }
      #expect(status == -SIGTERM)
    }

    @Test func anIgnoredHangUpStaysIgnored() {
      let status = statusOfChild {
        signal(SIGHUP, SIG_IGN)
        Signals.install()
        raise(SIGHUP)
        return Signals.pending == nil ? 5 : 6
      }
      #expect(status == 5)
    }

    @Test func peakMemoryIsThisProcess() {
      #expect(ProcessMemory.peakByteCount > 1 << 20)
    }
  }
#endif
