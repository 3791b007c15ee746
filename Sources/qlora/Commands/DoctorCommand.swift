// `qlora doctor`: what this machine offers, and what is missing.
import ArgumentParser
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Shows what qlora finds on this machine, and what is missing.",
    discussion: """
      Example:
        qlora doctor
      """)

  @OptionGroup var output: OutputOptions

  func run() throws {
    let findings = Pipeline.doctor()
    let width = findings.map(\.name.count).max() ?? 0
    for finding in findings {
      if output.json {
        Console.output(
          json: .dictionary([
            ("name", .string(finding.name)), ("value", .string(finding.value)),
            ("remedy", finding.remedy.map { .string($0) } ?? .null),
          ]))
      } else {
        let remedy = finding.remedy.map { "; \($0)" } ?? ""
        Console.output("\(Table.pad(finding.name, width))  \(finding.value)\(remedy)")
      }
    }
  }
}
