// What this machine offers to the framework.

import QLoRACPU
import QLoRACUDA
import QLoRADiagnostics
import QLoRAHub
import QLoRAPictures
import QLoRASystem

package struct DoctorFinding: Sendable {
  package var name: String
  package var value: String
  package var remedy: String?
}

extension Pipeline {
  package static func doctor(on machine: MachineMemory = MachineMemory()) -> [DoctorFinding] {
    var findings = [DoctorFinding(name: "version", value: ToolVersion.text)]
    do {
      let backend = try CPUBackend()
      findings.append(DoctorFinding(name: "backend", value: backend.name))
      findings.append(DoctorFinding(name: "threads", value: "\(backend.threadPool.threads)"))
    } catch {
      findings.append(DoctorFinding(name: "backend", value: "\(error)"))
    }
    findings.append(memoryFinding(machine))
    findings.append(
      DoctorFinding(
        name: "kernels", value: CPUBackend.instructionSets.joined(separator: ", ")))
    findings.append(
      DoctorFinding(
        name: "downloads", value: HubClient.libraryName ?? "no libcurl",
        remedy: HubClient.libraryName == nil ? "install it for `qlora download`" : nil))
    let missing = LibraryPicture.allCases.filter { !$0.isReadable }
    let formats = LibraryPicture.allCases.filter(\.isReadable).map(\.rawValue)
    findings.append(
      DoctorFinding(
        name: "pictures", value: (["PNG"] + formats).joined(separator: ", "),
        remedy: missing.isEmpty
          ? nil
          : "install " + missing.map { "\($0.library) for \($0.rawValue)" }
            .joined(separator: ", ")))
    return findings + gpuFindings(ComputeDevice.survey())
  }

  /// What runs may take, as `plan` and `--max-memory` count it.
  private static func memoryFinding(_ machine: MachineMemory) -> DoctorFinding {
    guard let total = machine.totalBytes, let available = machine.availableBytes else {
      return DoctorFinding(name: "memory", value: "the system does not say")
    }
    return DoctorFinding(
      name: "memory", value: "\(available >> 20) of \(total >> 20) MiB available")
  }

  /// The libraries of a GPU that were found, what they know, the device, and the first thing
  /// that is missing.
  static func gpuFindings(_ survey: CUDASurvey) -> [DoctorFinding] {
    var findings = survey.found.map { library in
      DoctorFinding(name: library.kind.name, value: "\(library.version), \(library.path)")
    }
    if let levels = survey.compiler?.levels, !levels.isEmpty {
      findings.append(
        DoctorFinding(
          name: "GPU code", value: levels.map { "sm_\($0)" }.joined(separator: " ")))
    }
    do {
      let device = try CUDADevice(survey.require())
      findings.append(
        DoctorFinding(
          name: "GPU",
          value: "\(device.name), sm_\(device.level), \(device.processors) multiprocessors, "
            + "\(device.freeBytes >> 20) of \(device.memoryBytes >> 20) MiB free"))
    } catch let failure as Diagnostic {
      findings.append(
        DoctorFinding(name: "GPU", value: failure.message, remedy: failure.remedy))
    } catch {
      findings.append(DoctorFinding(name: "GPU", value: "\(error)"))
    }
    return findings
  }
}
