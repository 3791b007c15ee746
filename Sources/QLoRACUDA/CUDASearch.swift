// Where NVIDIA's libraries may lie on a machine, in the order in which they are looked for.
import QLoRASystem

/// The libraries' files.
package enum CUDALibraryKind: String, Sendable, CaseIterable {
  case driver, compiler, products

  /// File names, the newest version first.
  var fileNames: [String] {
    switch self {
    case .driver: ["libcuda.so.1", "libcuda.so"]
    case .compiler: ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
    case .products: ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]
    }
  }

  /// As people know it.
  package var name: String {
    switch self {
    case .driver: "libcuda"
    case .compiler: "NVRTC"
    case .products: "cuBLASLt"
    }
  }
}

package struct CUDASearch: Sendable {
  private let environment: [String: String]
  private let files: any FileSystem

  package init(environment: [String: String], _ files: any FileSystem = PosixFileSystem()) {
    self.environment = environment
    self.files = files
  }

  /// What to give to the loader, in order: files that are there, and bare names for its own search.
  package func candidates(_ kind: CUDALibraryKind) -> [String] {
    let own = named.flatMap { found(kind, in: $0) }
    return own + kind.fileNames + folders.flatMap { found(kind, in: $0) }
  }

  private func found(_ kind: CUDALibraryKind, in folder: String) -> [String] {
    kind.fileNames.map { FilePath.join(folder, $0) }.filter {
      ((try? files.status($0)) ?? nil) != nil
    }
  }

  private func variable(_ name: String) -> String? {
    environment[name].flatMap { $0.isEmpty ? nil : $0 }
  }

  /// `QLORA_CUDA_PATH` may name a folder of libraries, an installation, or a Python's folder.
  private var named: [String] {
    guard let path = variable("QLORA_CUDA_PATH") else { return [] }
    return [path] + installation(path) + wheels(path) + python(path)
  }

  /// Folders after the loader's own.
  private var folders: [String] {
    let homes = ["CUDA_HOME", "CUDA_PATH"].compactMap(variable).flatMap(installation)
    let local = installation("/usr/local/cuda") + versions
    // The last are where containers and Windows put the driver for their guests.
    let system = [
      "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib",
    ]
    let pythons = ["VIRTUAL_ENV", "CONDA_PREFIX"].compactMap(variable).flatMap(python)
    return homes + local + system + pythons + pathPythons
  }

  private func installation(_ root: String) -> [String] {
    ["lib64", "lib", "targets/x86_64-linux/lib"].map { FilePath.join(root, $0) }
  }

  /// Installations with a version in their name, the newest first.
  private var versions: [String] {
    let names = (try? files.list("/usr/local")) ?? []
    return names.filter { $0.hasPrefix("cuda-") }.sorted(by: >)
      .flatMap { installation(FilePath.join("/usr/local", $0)) }
  }

  // MARK: Wheels of Python

  /// `nvidia/*/lib` below a folder of packages.
  private func wheels(_ packages: String) -> [String] {
    let root = FilePath.join(packages, "nvidia")
    return ((try? files.list(root)) ?? []).sorted(by: >).map {
      FilePath.join(FilePath.join(root, $0), "lib")
    }
  }

  /// Those of an installation or environment of Python.
  private func python(_ root: String) -> [String] {
    let library = FilePath.join(root, "lib")
    let versions = ((try? files.list(library)) ?? []).filter { $0.hasPrefix("python3") }
    return versions.sorted(by: >).flatMap { version in
      ["site-packages", "dist-packages"].flatMap {
        wheels(FilePath.join(FilePath.join(library, version), $0))
      }
    }
  }

  /// Those of the first `python3` that a shell would run, and where pip puts packages apart from
  /// it: Debian's and Ubuntu's for root, everyone's for users.
  private var pathPythons: [String] {
    let folders = (variable("PATH") ?? "").split(separator: ":").map(String.init)
    let first = folders.first {
      ((try? files.status(FilePath.join($0, "python3"))) ?? nil) != nil
    }
    let user = variable("PYTHONUSERBASE") ?? variable("HOME").map { FilePath.join($0, ".local") }
    let roots = [first.map { FilePath.parent(of: $0) }, "/usr/local", user].compactMap { $0 }
    return roots.flatMap(python)
  }
}
