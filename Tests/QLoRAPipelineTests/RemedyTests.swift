// Errors whose remedies a user can follow: what is wrong, by its name, and what helps.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import TestSupport
import Testing

@Suite struct RemedyTests {
  let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  private func failure(_ body: () throws -> Void) -> Diagnostic? {
    do {
      try body()
      return nil
    } catch {
      return (error as? Diagnostics)?.all.first ?? error as? Diagnostic
    }
  }

  /// How the base was held is on record beside the adapter.
  @Test(arguments: ["{", "{}", #"{"computeDType": "float32", "quantization": {"type": "nf4"}}"#])
  func aDamagedRecordIsBadData(content: String) throws {
    try tiny.train("run", ["training.steps=1"])
    try tiny.write("run/adapter/qlora.json", content)
    let found = failure { _ = try AdapterFolder.open(tiny.folder.path("run")) }
    #expect(found?.code.number == "E0583" && found?.code.exitCode == .badData)
    #expect("\(String(describing: found))".contains("run/adapter/qlora.json"))
  }
}
