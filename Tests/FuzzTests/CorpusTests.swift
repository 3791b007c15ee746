// The fuzzers' functions without the fuzzer: the committed corpus, and every damage of one byte to
// small files. What a fuzzer finds becomes a file of the corpus with its fix.
import Foundation
import FuzzTargets
import TestSupport
import Testing

@Suite(.serialized) struct CorpusTests {
  private static func files(_ folder: String) throws -> [(name: String, bytes: [UInt8])] {
    let url = Goldens.url(folder)
    return try FileManager.default.contentsOfDirectory(atPath: url.path(percentEncoded: false))
      .sorted().map { ($0, Array(try Data(contentsOf: url.appending(path: $0)))) }
  }

  @Test(arguments: FuzzTarget.allCases) func theCorpusPasses(_ target: FuzzTarget) throws {
    let files = try Self.files("fuzz/\(target.rawValue)")
    #expect(!files.isEmpty)
    for file in files { target.run(file.bytes) }
    #expect(files.contains { target.run($0.bytes) }, "all files of the corpus are refused")
  }

  static let smallFiles: [(FuzzTarget, String)] =
    ["all-types", "linear-fp4", "linear-nf4"].map {
      (.safetensors, "safetensors/\($0).safetensors")
    } + [
      (.safetensors, "peft/adapter_model.safetensors"), (.safetensors, "fuzz/safetensors/nf4"),
    ]
    + ["alignment", "arrays", "blocks", "llama", "values"].map {
      (.gguf, "gguf/small-\($0).gguf")
    }

  /// Every length, and every byte as 0x00, as 0xFF and inverted. None may trap or hang; a shorter
  /// safetensors file is never accepted.
  @Test(arguments: smallFiles) func everyByteMayBeDamaged(
    _ target: FuzzTarget, _ name: String
  ) throws {
    let whole = Array(try Data(contentsOf: Goldens.url(name)))
    #expect(target.run(whole), "\(name) itself is refused")
    for length in 0..<whole.count {
      let isAccepted = target.run(Array(whole[..<length]))
      #expect(!isAccepted || target == .gguf, "\(length) of \(whole.count) bytes were accepted")
    }
    for index in whole.indices {
      for byte in [0x00, 0xFF, ~whole[index]] as [UInt8] {
        var damaged = whole
        damaged[index] = byte
        target.run(damaged)
      }
    }
  }

  /// The same for the texts, whose files are larger, in steps.
  @Test(arguments: [
    FuzzTarget.tokenizer, .pieces, .template, .recipe, .rows, .table, .container, .manifest,
    .request,
  ])
  func textsMayBeDamaged(_ target: FuzzTarget) throws {
    for file in try Self.files("fuzz/\(target.rawValue)") {
      for index in stride(from: 0, to: file.bytes.count, by: 7) {
        target.run(Array(file.bytes[..<index]))
        for byte in [0x00, 0xFF, 0x22, 0x5D, 0x7B, ~file.bytes[index]] as [UInt8] {
          var damaged = file.bytes
          damaged[index] = byte
          target.run(damaged)
        }
      }
    }
  }
}
