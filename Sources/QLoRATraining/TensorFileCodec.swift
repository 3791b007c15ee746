// How tensors become the bytes of a file and back; the pipeline plugs safetensors in here.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

package struct NamedTensor: Sendable {
  package var name: String
  package var tensor: Tensor

  package init(_ name: String, _ tensor: Tensor) {
    self.name = name
    self.tensor = tensor
  }
}

package protocol TensorFileCodec: Sendable {
  /// Hands the bytes of a file with these tensors to `write`, in order. Equal tensors and metadata
  /// give equal bytes.
  func encode(
    _ tensors: [NamedTensor], metadata: [(name: String, value: String)],
    into write: (UnsafeRawBufferPointer) throws -> Void) throws
  /// - Parameter file: its path, for messages.
  func decode(_ bytes: [UInt8], file: String) throws -> [NamedTensor]
}

/// What the caller contributes to every checkpoint.
package struct CheckpointArtifacts: Sendable {
  package var codec: any TensorFileCodec
  /// The whole of `adapter_config.json`.
  package var adapterConfiguration: [UInt8]
  /// Digests of what a resumed run must find unchanged, such as `("recipe", "…")`.
  package var identity: [Identity]
  /// Provenance for the manifest that a resume does not insist on, such as the tool's version.
  package var provenance: [Identity]
  /// The resolved recipe, which a resume falls back on where the run has lost its own.
  package var recipe: JSONValue?
  /// The name of the backend in `provenance`: a resumed run says where it changed.
  package static let deviceFact = "device"

  package struct Identity: Sendable, Hashable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  package init(
    codec: any TensorFileCodec, adapterConfiguration: [UInt8], identity: [Identity],
    provenance: [Identity] = [], recipe: JSONValue? = nil
  ) {
    self.codec = codec
    self.adapterConfiguration = adapterConfiguration
    self.identity = identity
    self.provenance = provenance
    self.recipe = recipe
  }
}

/// Copies loaded tensors over existing ones, bit for bit.
enum TensorRestoration {
  /// - Throws: a diagnostic where names, shapes or types differ; then nothing was copied.
  static func copy(
    _ loaded: [NamedTensor], into targets: [NamedTensor], file: String
  ) throws(Diagnostic) {
    let byName = Dictionary(loaded.map { ($0.name, $0.tensor) }) { first, _ in first }
    guard byName.count == targets.count else {
      throw mismatch("expected \(targets.count) tensors, found \(byName.count)", .file(file))
    }
    for target in targets {
      let place = DiagnosticLocation.tensor(file: file, name: target.name)
      guard let tensor = byName[target.name] else { throw mismatch("it is missing", place) }
      guard tensor.shape == target.tensor.shape, tensor.dtype == target.tensor.dtype else {
        throw mismatch(
          "expected \(target.tensor.dtype) \(target.tensor.shape), "
            + "found \(tensor.dtype) \(tensor.shape)", place)
      }
    }
    for target in targets {
      byName[target.name]?.withBytes { source in
        target.tensor.withMutableBytes { $0.copyMemory(from: source) }
      }
    }
  }

  private static func mismatch(_ what: String, _ place: DiagnosticLocation) -> Diagnostic {
    Diagnostic(
      .checkpointMismatch, what, at: place,
      remedy: "resume with the recipe and the version that made the checkpoint")
  }
}
