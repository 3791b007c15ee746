// Each NVRTC that is found compiles every kernel for every level: it needs no device.
import Foundation
import QLoRADiagnostics
import QLoRASystem
import TestSupport
import Testing

import QLoRACUDA

@Suite struct KernelCompilationTests {
  /// One of each version, newest first.
  static let compilers = CUDASurvey.compilers(
    CUDASearch(environment: ProcessInfo.processInfo.environment)
  ).map(\.compiler)
  static let whyNot: Comment =
    "no NVRTC here: pip install nvidia-cuda-nvrtc-cu12, and name its folder in QLORA_CUDA_PATH"

  @Test(
    .enabled(if: !compilers.isEmpty, whyNot),
    arguments: compilers.indices, KernelCompiler.intendedLevels)
  func everyKernelCompiles(number: Int, level: Int) throws {
    let compiler = Self.compilers[number]
    guard compiler.levels.contains(level) else {
      // Blackwell came with 12.8; all others are older than 12.
      #expect(level >= 100 && compiler.version.hasPrefix("12."), "no sm_\(level)")
      return
    }
    for source in KernelSource.all {
      let code = try compiler.compile(source, for: .machineCode(level))
      #expect(code.starts(with: [0x7F, 0x45, 0x4C, 0x46]), "\(source.name): no ELF file")
    }
  }

  @Test(.enabled(if: !compilers.isEmpty, whyNot), arguments: compilers.indices)
  func theOldestLevelIsTheFallback(number: Int) throws {
    let compiler = Self.compilers[number]
    #expect(compiler.target(of: 90) == .machineCode(90))
    #expect(compiler.target(of: 999) == .assembly(80))
    for source in KernelSource.all {
      let text = try compiler.compile(source, for: .assembly(80))
      #expect(String(decoding: text, as: UTF8.self).contains(".target sm_80"))
    }
  }

  @Test(.enabled(if: !compilers.isEmpty, whyNot), arguments: compilers.indices)
  func whatDoesNotCompileIsShown(number: Int) throws {
    let compiler = Self.compilers[number]
    let source = KernelSource(name: "broken", text: "int f() { return nothing; }")
    let found = #expect(throws: Diagnostic.self) {
      try compiler.compile(source, for: .machineCode(80))
    }
    #expect(found?.code == .kernelNotCompiled)
    #expect(found?.message.contains("\"nothing\" is undefined") == true)
  }
}
