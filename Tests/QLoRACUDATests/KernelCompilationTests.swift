// NVRTC compiles every kernel for every level, where the library is present: it needs no device.
import Foundation
import QLoRADiagnostics
import QLoRASystem
import TestSupport
import Testing

import QLoRACUDA

@Suite struct KernelCompilationTests {
  static let survey = CUDASurvey(CUDASearch(environment: ProcessInfo.processInfo.environment))
  /// Ampere, Ada, Hopper, Blackwell.
  static let levels = [80, 86, 89, 90, 100, 120]
  static let whyNot: Comment =
    "no NVRTC here: pip install nvidia-cuda-nvrtc-cu12, and name its folder in QLORA_CUDA_PATH"

  @Test(.enabled(if: survey.compiler != nil, whyNot), arguments: levels)
  func everyKernelCompiles(level: Int) throws {
    let compiler = try #require(Self.survey.compiler)
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

  @Test(.enabled(if: survey.compiler != nil, whyNot))
  func theOldestLevelIsTheFallback() throws {
    let compiler = try #require(Self.survey.compiler)
    #expect(compiler.target(of: 90) == .machineCode(90))
    #expect(compiler.target(of: 999) == .assembly(80))
    for source in KernelSource.all {
      let text = try compiler.compile(source, for: .assembly(80))
      #expect(String(decoding: text, as: UTF8.self).contains(".target sm_80"))
    }
  }

  @Test(.enabled(if: survey.compiler != nil, whyNot))
  func whatDoesNotCompileIsShown() throws {
    let compiler = try #require(Self.survey.compiler)
    let source = KernelSource(name: "broken", text: "int f() { return nothing; }")
    let found = #expect(throws: Diagnostic.self) {
      try compiler.compile(source, for: .machineCode(80))
    }
    #expect(found?.code == .kernelNotCompiled)
    #expect(found?.message.contains("\"nothing\" is undefined") == true)
  }
}
