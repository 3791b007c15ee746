// The process: arguments in, exit code out. What the commands do is in Commands/.
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

exit(CommandRunner.run(Array(CommandLine.arguments.dropFirst())))
