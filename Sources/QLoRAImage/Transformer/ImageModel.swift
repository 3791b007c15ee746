// A frozen transformer of images with trainable adapters, of whichever family its folder is.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

package final class ImageModel {
  package let backend: any Backend
  /// The type that rows are kept in; vectors of samples and sums are float32.
  package let dtype: DType
  let architecture: any ImageArchitecture
  var table: LinearTable
  /// In the order of the optimizer; empty without adapters.
  package internal(set) var parameters: [Parameter] = []
  package var dropoutSeed: UInt64 = 0
  /// How many blocks, from the first on, backward computes again instead of keeping their values.
  package var recomputedBlocks = 0

  package var size: ImageModelSize { architecture.size }
  package var blockCount: Int { architecture.blockCount }
  package var linears: [AdaptedLinear] { table.linears }

  /// Bytes of the frozen matrices and tables in memory.
  package var weightBytes: Int {
    linears.reduce(architecture.tableBytes) { $0 + $1.weight.byteCount }
  }

  /// - Throws: `imageModelUnknown` for a folder of another class; a diagnostic that names the
  ///   tensor or the member of config.json at fault.
  package init(
    _ folder: PartFolder, backend: any Backend, options: LoadOptions,
    progress: (Double) throws -> Void = { _ in }
  ) throws {
    let loader = try PartLoader(folder, backend: backend, options: options)
    switch try ImageFamily(folder) {
    case .flux: (architecture, table) = try FluxTransformer.load(loader, progress: progress)
    case .sd3: (architecture, table) = try SD3Transformer.load(loader, progress: progress)
    }
    self.backend = backend
    dtype = options.computeDType
  }

  /// The velocity `[image rows, patch width]`, its columns in `size.outputOrder`.
  package func velocity(
    _ input: ImageInput, on tape: Tape, dropout: DropoutContext? = nil
  ) -> Variable {
    architecture.velocity(
      input, recomputed: recomputedBlocks, on: tape, linears: table, dtype: dtype,
      dropout: dropout)
  }
}

/// The families of transformers that this program runs.
package enum ImageFamily: String, Sendable, CaseIterable {
  case flux = "FluxTransformer2DModel"
  case sd3 = "SD3Transformer2DModel"

  /// - Throws: `imageModelUnknown`.
  package init(_ folder: PartFolder) throws(Diagnostic) {
    guard let family = folder.className.flatMap(Self.init(rawValue:)) else {
      throw Diagnostic(
        .imageModelUnknown,
        "\"\(folder.className ?? "nothing")\" is no transformer of images that this program runs",
        at: .file(folder.configPath),
        remedy: "use a folder of \(Self.allCases.map(\.rawValue).joined(separator: " or "))")
    }
    self = family
  }
}

extension ImageModelSize {
  /// As the folder's configuration says, without its weights.
  /// - Throws: `imageModelUnknown`, `imageConfigInvalid`.
  package init(_ folder: PartFolder) throws {
    let config = PartConfig(folder)
    switch try ImageFamily(folder) {
    case .flux: self = try FluxTransformer.size(config)
    case .sd3: self = try SD3Transformer.size(config)
    }
  }
}
