// Which of NVIDIA's libraries this machine has, and what is missing first.
import CQLoRACUDA
import QLoRADiagnostics

/// One library that was found.
package struct FoundLibrary: Sendable {
  package let kind: CUDALibraryKind
  /// The file.
  package let path: String
  /// Such as "12.4".
  package let version: String
}

// SAFETY: tables that a successful load has filled; the loader never unloads them.
package struct CUDASurvey: @unchecked Sendable {
  package private(set) var found: [FoundLibrary] = []
  /// The first thing that a run on a GPU would lack; nil where nothing is.
  package private(set) var missing: Diagnostic?
  /// nil where something is missing.
  package private(set) var libraries: CUDALibraries?
  /// nil without NVRTC, which works without a GPU, too.
  package private(set) var compiler: KernelCompiler?

  /// The oldest driver whose interface is enough.
  private static let oldestMajor = 12

  /// - Parameter loader: what a test gives in place of this machine's libraries.
  package init(_ search: CUDASearch, _ loader: CUDALoader = CUDALoader()) {
    let driver = load(search.candidates(.driver), loader.driver)
    keep(.driver, driver) { text(CUDALibraries.version(of: $0)) }
    let driverVersion = driver.library.flatMap { CUDALibraries.version(of: $0.table) }
    // Before what must suit it: of an old driver nothing does.
    if let driverVersion, driverVersion.major < Self.oldestMajor {
      lack(Self.tooOld("is of CUDA \(driverVersion.major).\(driverVersion.minor)"))
    }
    // Code of a newer major version than the driver's is refused by it.
    let most = driverVersion?.major ?? .max
    let compiler = load(search.candidates(.compiler), loader.compiler) {
      (CUDALibraries.version(of: $0)?.major ?? 0) <= most
    }
    let products = load(search.candidates(.products), loader.products) {
      $0.version() / 10_000 <= most
    }
    self.compiler = compiler.library.map { KernelCompiler($0.table) }
    keep(.compiler, compiler) { text(CUDALibraries.version(of: $0)) }
    keep(.products, products) { productsVersion($0.version()) }
    guard missing == nil, let driver = driver.library, let compiler = compiler.library,
      let products = products.library
    else { return }
    libraries = CUDALibraries(
      driver: driver.table, compiler: compiler.table, products: products.table)
  }

  /// Every NVRTC that loads, one of each version, with its file.
  package static func compilers(
    _ search: CUDASearch
  ) -> [(path: String, compiler: KernelCompiler)] {
    var found: [(path: String, compiler: KernelCompiler)] = []
    // The loader gives one library for each name of a file, so each candidate is loaded by itself.
    for candidate in search.candidates(.compiler) {
      guard let library = load([candidate], qlora_cuda_load_compiler).library else { continue }
      let compiler = KernelCompiler(library.table)
      if found.contains(where: { $0.compiler.version == compiler.version }) { continue }
      found.append((library.path, compiler))
    }
    return found
  }

  /// - Throws: what is missing.
  package func require() throws -> CUDALibraries {
    if let libraries { return libraries }
    throw missing ?? Diagnostic(.cudaLibraryMissing, "the libraries of CUDA are missing")
  }

  private mutating func keep<Table>(
    _ kind: CUDALibraryKind, _ found: LoadedLibrary<Table>, version: (Table) -> String
  ) {
    if let library = found.library {
      self.found.append(
        FoundLibrary(kind: kind, path: library.path, version: version(library.table)))
    } else if kind == .driver, case .lacking(let path, let function)? = found.obstacle {
      lack(Self.tooOld("(\(path)) lacks \(function)"))
    } else {
      lack(Self.absence(kind, found.obstacle))
    }
  }

  private mutating func lack(_ diagnostic: Diagnostic) { missing = missing ?? diagnostic }

  private static func tooOld(_ what: String) -> Diagnostic {
    Diagnostic(
      .cudaDriverTooOld, "the GPU's driver \(what), and the kernels need CUDA \(oldestMajor)",
      remedy: "update NVIDIA's driver, or set device to \"cpu\"")
  }

  private static func absence(_ kind: CUDALibraryKind, _ obstacle: LoadingObstacle?) -> Diagnostic {
    let remedy =
      switch kind {
      case .driver: "install NVIDIA's driver, or set device to \"cpu\""
      case .compiler:
        "install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc-cu12` and name its folder in "
          + "QLORA_CUDA_PATH"
      case .products:
        "install the CUDA toolkit, or `pip install nvidia-cublas-cu12` and name its folder in "
          + "QLORA_CUDA_PATH"
      }
    let why = obstacle.map { ": \($0)" } ?? ""
    return Diagnostic(
      .cudaLibraryMissing, "no \(kind.name) (\(kind.fileNames[0])) that suits was found\(why)",
      remedy: remedy)
  }
}

private func text(_ version: (major: Int, minor: Int)?) -> String {
  version.map { "\($0.major).\($0.minor)" } ?? "unknown"
}

/// 120903 is 12.9.3.
private func productsVersion(_ number: Int) -> String {
  "\(number / 10_000).\(number / 100 % 100).\(number % 100)"
}
