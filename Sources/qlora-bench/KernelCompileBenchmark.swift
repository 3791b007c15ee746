// `qlora-bench compile`: the GPU's kernels through every NVRTC of this machine, which takes no GPU.
import ArgumentParser
import QLoRACUDA
import QLoRAPipeline

struct KernelCompileBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compile",
    abstract: "Compiles every kernel for every level by each NVRTC that is found.",
    discussion: "One JSON object per line; ends with code 1 where a kernel does not compile.")

  @Option(help: "Levels such as 90; all that the kernels are meant for if none is given.")
  var level: [Int] = []

  func run() throws {
    let compilers = ComputeDevice.compilers()
    if compilers.isEmpty { throw ValidationError("no NVRTC was found; see `qlora doctor`") }
    var failures = 0
    for (path, compiler) in compilers {
      let known = compiler.levels
      for level in level.isEmpty ? KernelCompiler.intendedLevels : level {
        // What a version does not know gets assembly of the oldest level, as a device of it would.
        let target = compiler.target(of: level)
        var (bytes, isWhole) = (0, true)
        let clock = ContinuousClock()
        let start = clock.now
        for source in KernelSource.all {
          do {
            bytes += try compiler.compile(source, for: target).count
          } catch {
            isWhole = false
            failures += 1
            printLine("{\"kernels\": \"\(source.name)\", \"failure\": \"\(error)\"}")
          }
        }
        let seconds = (clock.now - start) / .seconds(1)
        printLine(
          "{\"nvrtc\": \"\(compiler.version)\", \"path\": \"\(path)\", \"level\": \(level), "
            + "\"isKnown\": \(known.contains(level)), \"target\": \"\(target)\", "
            + "\"compiled\": \(isWhole), \"bytes\": \(bytes), \"seconds\": \(rounded(seconds))}")
      }
    }
    if failures > 0 { throw ExitCode(1) }
  }
}
