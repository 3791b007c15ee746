// The benchmark program: one subcommand per level, one JSON object per line out.
import ArgumentParser

@main
struct QLoRABench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qlora-bench",
    abstract: "Measures kernels and training steps; writes JSON lines.",
    subcommands: [
      KernelBenchmark.self, QuantizeBenchmark.self, LoadBenchmark.self, StepBenchmark.self,
      DecodeBenchmark.self, CheckBenchmark.self, DeviceBenchmark.self, TokenizeBenchmark.self,
      KernelCompileBenchmark.self,
    ])
}
