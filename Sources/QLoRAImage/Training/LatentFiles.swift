// Cached latents and prompts: one safetensors file for each sample, in folders. Their shapes are
// read at once, their values when a batch needs them.
import QLoRADiagnostics
import QLoRAFormats
import QLoRASystem
import QLoRATensor

package struct LatentFiles: Sendable {
  /// Where a sample is, and its size.
  package struct Sample: Sendable, Hashable {
    package let path: String
    /// Which of the folders it comes from, counted from 0.
    package let source: Int
    /// Its place among the files of the folder, counted from 1.
    package let number: Int
    package let grid: PatchGrid
    package let promptLength: Int

    /// Rows of text and image.
    package var rowCount: Int { promptLength + grid.count }
  }

  package private(set) var samples: [Sample] = []
  private let size: ImageModelSize

  private static let latentsName = "latents"
  private static let promptName = "prompt_embeds"
  private static let pooledName = "pooled_prompt_embeds"
  private static let suffix = ".safetensors"

  /// - Parameter folders: with how many files of each are taken; nil takes all. Files are taken in
  ///   the order of their names.
  /// - Throws: `imageDataMissing`, `imageDataInvalid` naming file and tensor.
  package init(_ folders: [(path: String, limit: Int?)], _ size: ImageModelSize) throws {
    self.size = size
    for (source, folder) in folders.enumerated() {
      let names = try diagnosing { () throws(FileFailure) in
        try PosixFileSystem().list(folder.path)
      }.filter { $0.hasSuffix(Self.suffix) }.sorted()
      guard !names.isEmpty else {
        throw Diagnostic(
          .imageDataMissing, "the folder holds no .safetensors file", at: .file(folder.path),
          remedy: "cache latents and prompts first, as Docs/Guide/images.md shows")
      }
      for (index, name) in names.prefix(folder.limit ?? .max).enumerated() {
        samples.append(
          try Self.sample(
            FilePath.join(folder.path, name), source: source, number: index + 1, size))
      }
    }
  }

  private static func sample(
    _ path: String, source: Int, number: Int, _ size: ImageModelSize
  ) throws -> Sample {
    let file = try SafetensorsFile(path: path)
    let latents = try shape(latentsName, 3, file)
    let edge = size.patchEdge
    let grid = PatchGrid(
      channels: size.channels, rows: latents[1] / edge, columns: latents[2] / edge, edge: edge)
    guard latents[0] == size.channels, grid.count > 0, grid.rows * edge == latents[1],
      grid.columns * edge == latents[2], max(grid.rows, grid.columns) <= size.largestGrid ?? .max
    else {
      let most = size.largestGrid.map { " and at most \($0 * edge)" } ?? ""
      throw failure(
        path, latentsName,
        "expected [\(size.channels), height, width] with sides that are multiples of \(edge)"
          + "\(most), found \(latents)")
    }
    let prompt = try shape(promptName, 2, file)
    guard prompt[1] == size.promptWidth, prompt[0] > 0 else {
      throw failure(path, promptName, "expected [tokens, \(size.promptWidth)], found \(prompt)")
    }
    let pooled = try shape(pooledName, 1, file)
    guard pooled[0] == size.pooledWidth else {
      throw failure(path, pooledName, "expected [\(size.pooledWidth)], found \(pooled)")
    }
    return Sample(
      path: path, source: source, number: number, grid: grid, promptLength: prompt[0])
  }

  /// The shape without the batch of one that a file may have kept.
  private static func shape(_ name: String, _ rank: Int, _ file: SafetensorsFile) throws -> Shape {
    guard let entry = try? file.entry(name) else {
      throw failure(file.path, name, "the tensor is missing")
    }
    let extents = entry.shape.extents
    let plain = extents.count == rank + 1 && extents[0] == 1 ? Array(extents.dropFirst()) : extents
    guard plain.count == rank, entry.dtype.isFloatingPoint else {
      throw failure(file.path, name, "expected \(rank) dimensions of numbers, found \(entry.shape)")
    }
    return Shape(plain)
  }

  private static func failure(_ path: String, _ name: String, _ message: String) -> Diagnostic {
    Diagnostic(
      .imageDataInvalid, message, at: .tensor(file: path, name: name),
      remedy: "cache the sample again for this model, as Docs/Guide/images.md shows")
  }

  /// A sample's values: latents as patches of channels, prompt and pooled prompt.
  func values(_ index: Int) throws -> (patches: [Float], prompt: [Float], pooled: [Float]) {
    let file = try SafetensorsFile(path: samples[index].path)
    func floats(_ name: String, _ count: Int) throws -> [Float] {
      // The file may have changed since its shapes were read.
      guard let entry = try? file.entry(name), entry.shape.count == count else {
        throw Self.failure(file.path, name, "it is not what it was when the run began")
      }
      let tensor = Tensor(uninitialized: [count], .float32)
      return try tensor.withMutableElements(Float.self) {
        try file.readFloats(name, range: 0..<count, into: $0)
        guard $0.allSatisfy(\.isFinite) else {
          throw Self.failure(file.path, name, "it holds a NaN or an infinity")
        }
        return Array($0)
      }
    }
    let sample = samples[index]
    let latents = try floats(Self.latentsName, sample.grid.count * sample.grid.width)
    return (
      sample.grid.patches(latents, .channelsFirst),
      try floats(Self.promptName, sample.promptLength * size.promptWidth),
      try floats(Self.pooledName, size.pooledWidth)
    )
  }
}
