// Compiled kernels kept between runs, one file for each text and target. A file appears complete or
// not at all and carries its digest, so a damaged one is compiled anew.
import QLoRASystem

package struct KernelCache: Sendable {
  /// Made when the first file is.
  package let folder: String
  private let files: any FileSystem

  package init(_ folder: String, _ files: any FileSystem = PosixFileSystem()) {
    self.folder = folder
    self.files = files
  }

  /// The file's name says everything that the code depends on.
  private func path(
    _ source: KernelSource, _ target: KernelTarget, _ compiler: KernelCompiler
  ) -> String {
    let stream = StreamingDigest()
    for part in [source.text, KernelCompiler.options(target).joined(separator: " ")] {
      Array(part.utf8).withUnsafeBytes(stream.update)
    }
    return FilePath.join(
      folder, "\(source.name)-\(target)-nvrtc\(compiler.version)-\(stream.digest)")
  }

  /// The code from the cache, or compiled and kept there. That it cannot be kept is no failure.
  func code(
    _ source: KernelSource, _ target: KernelTarget, _ compiler: KernelCompiler
  ) throws -> [UInt8] {
    let path = path(source, target, compiler)
    if let stored = try? files.readAll(path), let code = Self.opened(stored) { return code }
    let code = try compiler.compile(source, for: target)
    try? AtomicFile.write(path, Self.sealed(code), files)
    return code
  }

  private static let sealLength = 32

  /// The digest of the code, then the code.
  private static func sealed(_ code: [UInt8]) -> [UInt8] {
    Array(Digest(of: code).description.utf8) + code
  }

  private static func opened(_ bytes: [UInt8]) -> [UInt8]? {
    guard bytes.count > sealLength else { return nil }
    let code = Array(bytes[sealLength...])
    return Digest(of: code).description.utf8.elementsEqual(bytes[..<sealLength]) ? code : nil
  }
}
