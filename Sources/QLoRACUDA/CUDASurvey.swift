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

  package init(_ search: CUDASearch) {
    let driver = load(.driver, search.candidates(.driver), qlora_cuda_load_driver)
    let driverVersion = driver.flatMap { CUDALibraries.version(of: $0.table) }
    // Code of a newer major version than the driver's is refused by it.
    let most = driverVersion?.major ?? .max
    let compiler = load(.compiler, search.candidates(.compiler), qlora_cuda_load_compiler) {
      (CUDALibraries.version(of: $0)?.major ?? 0) <= most
    }
    let products = load(.products, search.candidates(.products), qlora_cuda_load_products) {
      $0.version() / 10_000 <= most
    }
    self.compiler = compiler.map { KernelCompiler($0.table) }
    keep(.driver, driver.map { ($0.path, text(CUDALibraries.version(of: $0.table))) })
    keep(.compiler, compiler.map { ($0.path, text(CUDALibraries.version(of: $0.table))) })
    keep(.products, products.map { ($0.path, productsVersion($0.table.version())) })
    if let driverVersion, driverVersion.major < Self.oldestMajor {
      lack(
        Diagnostic(
          .cudaDriverTooOld,
          "the GPU's driver is of CUDA \(driverVersion.major).\(driverVersion.minor), and the "
            + "kernels need CUDA \(Self.oldestMajor)", remedy: "update NVIDIA's driver"))
    }
    guard missing == nil, let driver, let compiler, let products else { return }
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
      guard let library = load(.compiler, [candidate], qlora_cuda_load_compiler) else { continue }
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

  private mutating func keep(_ kind: CUDALibraryKind, _ library: (path: String, version: String)?) {
    if let library {
      found.append(FoundLibrary(kind: kind, path: library.path, version: library.version))
    } else {
      lack(Self.absence(kind))
    }
  }

  private mutating func lack(_ diagnostic: Diagnostic) { missing = missing ?? diagnostic }

  private static func absence(_ kind: CUDALibraryKind) -> Diagnostic {
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
    return Diagnostic(
      .cudaLibraryMissing, "no \(kind.name) (\(kind.fileNames[0])) that suits was found",
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

// SAFETY: `functions` fills the table that it gets, or leaves it; the path's buffer has its length.
/// The first candidate that loads, has all functions and suits.
private func load<Table>(
  _ kind: CUDALibraryKind, _ candidates: [String],
  _ functions: (
    UnsafePointer<CChar>, UnsafeMutablePointer<Table>, UnsafeMutablePointer<CChar>, Int
  ) -> qlora_cuda_outcome, where suits: (Table) -> Bool = { _ in true }
) -> (table: Table, path: String)? {
  for candidate in candidates {
    // A table without functions has nothing to be initialised with: the loader writes all of it.
    let memory = UnsafeMutablePointer<Table>.allocate(capacity: 1)
    defer { memory.deallocate() }
    var reason = [CChar](repeating: 0, count: 512)
    guard functions(candidate, memory, &reason, reason.count) == qlora_cuda_loaded else { continue }
    let table = memory.pointee
    if suits(table) { return (table, path(of: table) ?? candidate) }
  }
  return nil
}

/// The file that a table's functions came from.
private func path<Table>(of table: Table) -> String? {
  var text = [CChar](repeating: 0, count: 4096)
  let isKnown = withUnsafeBytes(of: table) { bytes in
    // The first word of every table is a function.
    let function = bytes.load(as: UnsafeRawPointer?.self)
    return function.map { qlora_cuda_library_path($0, &text, text.count) } ?? false
  }
  guard isKnown else { return nil }
  return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}
