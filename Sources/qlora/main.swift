// The process: arguments in, exit code out. What the commands do is in Commands/.
import QLoRASystem

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

Signals.spareWrites()
exit(CommandRunner.run(Array(CommandLine.arguments.dropFirst())))
