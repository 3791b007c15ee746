// One of NVIDIA's libraries out of the files that may be it, and why the others are not.
import CQLoRACUDA

/// Fills a table from a library, or says why not.
package typealias LibraryFunctions<Table> = (
  UnsafePointer<CChar>, UnsafeMutablePointer<Table>, UnsafeMutablePointer<CChar>, Int
) -> qlora_cuda_outcome

/// What loads the libraries: the system's loader unless a test says otherwise.
package struct CUDALoader {
  package var driver: LibraryFunctions<qlora_cuda_driver> = qlora_cuda_load_driver
  package var compiler: LibraryFunctions<qlora_cuda_compiler> = qlora_cuda_load_compiler
  package var products: LibraryFunctions<qlora_cuda_products> = qlora_cuda_load_products

  package init() {}
}

/// Why a file that is there was not taken.
enum LoadingObstacle: CustomStringConvertible {
  case unloadable(reason: String)
  case lacking(path: String, function: String)
  case unsuitable(path: String)

  var description: String {
    switch self {
    case .unloadable(let reason): reason
    case .lacking(let path, let function): "\(path) lacks \(function)"
    case .unsuitable(let path): "\(path) is of a newer CUDA than the driver"
    }
  }
}

/// What a search came to.
struct LoadedLibrary<Table> {
  var library: (table: Table, path: String)?
  /// The first that was met.
  var obstacle: LoadingObstacle?
}

// SAFETY: `functions` fills the table that it gets, or leaves it; the path's buffer has its length.
/// The first candidate that loads, has all functions and suits.
func load<Table>(
  _ candidates: [String], _ functions: LibraryFunctions<Table>,
  where suits: (Table) -> Bool = { _ in true }
) -> LoadedLibrary<Table> {
  var obstacle: LoadingObstacle?
  for candidate in candidates {
    // A table without functions has nothing to be initialised with: the loader writes all of it.
    let memory = UnsafeMutablePointer<Table>.allocate(capacity: 1)
    defer { memory.deallocate() }
    var reason = [CChar](repeating: 0, count: 512)
    let outcome = functions(candidate, memory, &reason, reason.count)
    let said = words(reason)
    switch outcome {
    case qlora_cuda_loaded:
      let table = memory.pointee
      let file = path(of: table) ?? candidate
      if suits(table) { return LoadedLibrary(library: (table, file), obstacle: obstacle) }
      obstacle = obstacle ?? .unsuitable(path: file)
    case qlora_cuda_lacking:
      obstacle = obstacle ?? .lacking(path: candidate, function: said)
    default:
      // A name that leads nowhere is no obstacle.
      let isAbsent = said.hasPrefix("\(candidate): cannot open shared object file: No such file")
      if !isAbsent { obstacle = obstacle ?? .unloadable(reason: said) }
    }
  }
  return LoadedLibrary(obstacle: obstacle)
}

private func words(_ characters: [CChar]) -> String {
  String(
    decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
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
  return words(text)
}
