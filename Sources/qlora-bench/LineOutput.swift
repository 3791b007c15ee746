// Lines that are there even where the process is ended in the middle, as by a limit of time.
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Prints a line at once: into a file or a pipe it would otherwise wait for others.
func printLine(_ line: String) {
  print(line)
  fflush(nil)
}
