// What this machine offers to the framework.

import QLoRACPU
import QLoRAHub

package struct DoctorFinding: Sendable {
  package var name: String
  package var value: String
  package var remedy: String?
}

extension Pipeline {
  package static func doctor() -> [DoctorFinding] {
    var findings = [DoctorFinding(name: "version", value: ToolVersion.text)]
    do {
      let backend = try CPUBackend()
      findings.append(DoctorFinding(name: "backend", value: backend.name))
      findings.append(DoctorFinding(name: "threads", value: "\(backend.threadPool.threads)"))
    } catch {
      findings.append(DoctorFinding(name: "backend", value: "\(error)"))
    }
    findings.append(
      DoctorFinding(
        name: "kernels", value: CPUBackend.instructionSets.joined(separator: ", ")))
    findings.append(
      DoctorFinding(
        name: "downloads", value: HubClient.libraryName ?? "no libcurl",
        remedy: HubClient.libraryName == nil ? "install it for `qlora download`" : nil))
    return findings
  }
}
