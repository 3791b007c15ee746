// The codes of this module: in their range, each once, each explained.
import QLoRADiagnostics
import Testing

import QLoRAFormats

struct DiagnosticCodeTests {
  @Test func areUniqueAndExplained() {
    let codes = DiagnosticCode.allFormatsCodes
    #expect(Set(codes.map(\.number)).count == codes.count)
    for code in codes {
      #expect(code.number.hasPrefix("E02") && code.number.utf8.count == 5)
      #expect(code.explanation.utf8.count > 60 && code.explanation.hasSuffix("."))
    }
  }
}
