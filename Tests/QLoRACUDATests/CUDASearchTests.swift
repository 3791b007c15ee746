// Where NVIDIA's libraries are looked for, and what is said of those that are not there.
import CUDASimulator
import Foundation
import QLoRADiagnostics
import TestSupport
import Testing

import QLoRACUDA

@Suite struct CUDASearchTests {
  /// A file where a wheel or an installation would have it.
  private func place(_ path: String, _ folder: TemporaryFolder) throws -> String {
    let file = URL(filePath: folder.path(path))
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data("no library".utf8).write(to: file)
    return file.path(percentEncoded: false)
  }

  @Test(arguments: [
    "libnvrtc.so.12", "lib64/libnvrtc.so.12", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
    "lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
  ])
  func theNamedFolderComesFirst(path: String) throws {
    let folder = try TemporaryFolder()
    let file = try place(path, folder)
    let search = CUDASearch(environment: ["QLORA_CUDA_PATH": folder.url.path])
    #expect(search.candidates(.compiler).first == file)
    #expect(search.candidates(.driver).first == "libcuda.so.1")
  }

  @Test(arguments: [
    ("CUDA_HOME", "lib64/libcublasLt.so.12"), ("CUDA_PATH", "lib/libcublasLt.so.13"),
    ("VIRTUAL_ENV", "lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12"),
    ("CONDA_PREFIX", "lib/python3.13/site-packages/nvidia/cu13/lib/libcublasLt.so.13"),
  ])
  func othersFollowTheLoader(variable: String, path: String) throws {
    let folder = try TemporaryFolder()
    let file = try place(path, folder)
    let found = CUDASearch(environment: [variable: folder.url.path]).candidates(.products)
    #expect(found.first == "libcublasLt.so.13" && found.contains(file))
  }

  @Test func thePythonOfThePathIsAsked() throws {
    let folder = try TemporaryFolder()
    let file = try place("lib/python3.11/dist-packages/nvidia/x/lib/libnvrtc.so.12", folder)
    _ = try place("bin/python3", folder)
    let found = CUDASearch(environment: ["PATH": "/nowhere:" + folder.path("bin")])
    #expect(found.candidates(.compiler).contains(file))
  }

  /// Where pip puts what a user installs beside a system's Python.
  @Test(arguments: ["HOME", "PYTHONUSERBASE"])
  func theUsersOwnPackagesAreAsked(variable: String) throws {
    let folder = try TemporaryFolder()
    let below = variable == "HOME" ? ".local/" : ""
    let file = try place(
      below + "lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12", folder)
    let found = CUDASearch(environment: ["PATH": "/nowhere", variable: folder.url.path])
    #expect(found.candidates(.products).contains(file))
  }

  /// A file that is no library is passed over like one that is not there.
  @Test func theFirstThingMissingIsNamed() throws {
    let folder = try TemporaryFolder()
    for name in ["libcuda.so.1", "libnvrtc.so.12", "libcublasLt.so.12"] {
      _ = try place(name, folder)
    }
    let survey = CUDASurvey(CUDASearch(environment: ["QLORA_CUDA_PATH": folder.url.path]))
    // A machine with a driver lacks something else, or nothing.
    if survey.found.contains(where: { $0.kind == .driver }) { return }
    #expect(survey.missing?.code == .cudaLibraryMissing)
    #expect(survey.missing?.message.contains("libcuda.so.1") == true)
    #expect(survey.missing?.remedy != nil && survey.libraries == nil)
    #expect(throws: Diagnostic.self) { try survey.require() }
  }

  /// Libraries as the simulator has them, where a folder has their files.
  private func survey(
    _ folder: TemporaryFolder, driver: @escaping LibraryFunctions<qlora_cuda_driver>
  ) throws -> CUDASurvey {
    _ = try place("libcuda.so.1", folder)
    var loader = CUDALoader()
    loader.driver = driver
    loader.compiler = { _, table, _, _ in
      table.initialize(to: cuda_simulator_compiler().pointee)
      return qlora_cuda_loaded
    }
    loader.products = { _, table, _, _ in
      table.initialize(to: cuda_simulator_products().pointee)
      return qlora_cuda_loaded
    }
    return CUDASurvey(CUDASearch(environment: ["QLORA_CUDA_PATH": folder.url.path]), loader)
  }

  /// Whatever else does not suit it: it is what has to be new first.
  @Test func anOldDriverIsSaidFirst() throws {
    let survey = try survey(TemporaryFolder()) { _, table, _, _ in
      var driver = cuda_simulator_driver().pointee
      driver.version = { version in
        version.pointee = 11_080
        return 0
      }
      table.initialize(to: driver)
      return qlora_cuda_loaded
    }
    #expect(survey.missing?.code == .cudaDriverTooOld && survey.libraries == nil)
    #expect(survey.missing?.message.contains("CUDA 11.8") == true)
    #expect(survey.found.contains { $0.kind == CUDALibraryKind.driver && $0.version == "11.8" })
  }

  @Test func aDriverWithoutNewFunctionsIsOld() throws {
    let survey = try survey(TemporaryFolder()) { _, _, reason, _ in
      for (index, byte) in "cuNewer".utf8CString.enumerated() { reason[index] = byte }
      return qlora_cuda_lacking
    }
    #expect(survey.missing?.code == .cudaDriverTooOld)
    #expect(survey.missing?.message.contains("libcuda.so.1) lacks cuNewer") == true)
  }

  @Test func aFileThatDoesNotLoadSaysWhy() throws {
    let survey = try survey(TemporaryFolder()) { _, _, reason, _ in
      for (index, byte) in "invalid ELF header".utf8CString.enumerated() { reason[index] = byte }
      return qlora_cuda_not_loaded
    }
    #expect(survey.missing?.code == .cudaLibraryMissing)
    #expect(survey.missing?.message.hasSuffix(": invalid ELF header") == true)
  }

  @Test func librariesThatSuitLackNothing() throws {
    let survey = try survey(TemporaryFolder()) { _, table, _, _ in
      table.initialize(to: cuda_simulator_driver().pointee)
      return qlora_cuda_loaded
    }
    #expect(survey.missing == nil && survey.libraries != nil && survey.found.count == 3)
  }
}
