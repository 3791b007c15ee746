// From pictures with captions to the files that training on images reads: each part of the pipeline
// is in memory only while it encodes.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAImage
import QLoRAModels
import QLoRAPictures
import QLoRASystem
import QLoRATensor

/// What a user asks cached latents by.
package struct LatentRequest {
  /// A pipeline's folder.
  package var model: String
  /// A folder with pictures, NAME.jpg say, beside NAME.txt.
  package var pictures: String
  /// Pixels that the shorter side of each is to have; nil leaves them as they are.
  package var side: Int?
  /// A folder, new or with what was cached before.
  package var output: String
  /// `nf4`, `fp4`, `int8` or `none`, of T5; nil: none.
  package var quantization: String?
  package var computeDType: String?
  /// Of T5; nil takes the family's usual number.
  package var maxTokens: Int?
  package var threads: Int

  package init(
    model: String, pictures: String, side: Int? = nil, output: String, quantization: String?,
    computeDType: String?, maxTokens: Int?, threads: Int
  ) {
    self.model = model
    self.pictures = pictures
    self.side = side
    self.output = output
    self.quantization = quantization
    self.computeDType = computeDType
    self.maxTokens = maxTokens
    self.threads = threads
  }
}

extension Pipeline {
  /// - Returns: how many files were written, and how many were there already.
  /// - Throws: diagnostics for a folder that is no pipeline, for pictures without captions or of
  ///   unfit sizes, and for damaged parts.
  package static func cacheLatents(
    _ request: LatentRequest, progress: @escaping (ImageProgress) -> Void
  ) throws -> (written: Int, kept: Int) {
    try LatentCache(request, progress: progress).write()
  }
}

struct LatentCache {
  /// Pictures whose prompts are in memory at once: half a gibibyte of FLUX.1's.
  private static let picturesAtOnce = 64
  private static let largestCaption = 1 << 16

  private let request: LatentRequest
  private let folder: ImageFolder
  private let size: ImageModelSize
  private let backend: any Backend
  private let options: LoadOptions
  private let progress: (ImageProgress) -> Void

  init(_ request: LatentRequest, progress: @escaping (ImageProgress) -> Void) throws {
    self.request = request
    self.progress = progress
    folder = try ImageFolder.ofPipeline(request.model)
    size = try ImageModelSize(folder.transformer)
    options = Pipeline.loadOptions(
      BaseOptions(
        model: request.model, adapter: nil, quantization: request.quantization,
        computeDType: request.computeDType, threads: request.threads),
      trained: LoadOptions(quantization: nil, computeDType: .bfloat16))
    backend = try Backends.make(threads: request.threads)
  }

  func write() throws -> (written: Int, kept: Int) {
    let files = PosixFileSystem()
    let pictures = try pictures(files)
    // Before anything is computed: a caption that is missing shows in a second.
    let captions = try pictures.map(caption)
    try diagnosing { () throws(FileFailure) in
      if try files.status(request.output) == nil { try files.makeDirectory(request.output) }
    }
    let missing = try pictures.indices.filter { index in
      try diagnosing { () throws(FileFailure) in try files.status(output(pictures[index])) } == nil
    }
    let encoders = PromptEncoders(
      folder: folder, family: try ImageFamily(folder.transformer), size: size, backend: backend,
      options: options, progress: progress)
    for start in stride(from: 0, to: missing.count, by: Self.picturesAtOnce) {
      let group = missing[start..<min(missing.count, start + Self.picturesAtOnce)]
      let prompts = try encoders.encode(
        group.map { encoders.tokens(of: captions[$0]) }, maxTokens: request.maxTokens)
      try write(group.map { pictures[$0] }, prompts, done: start, of: missing.count)
    }
    return (missing.count, pictures.count - missing.count)
  }

  /// The names of all pictures, in order.
  private func pictures(_ files: PosixFileSystem) throws -> [String] {
    let names = try diagnosing { () throws(FileFailure) in try files.list(request.pictures) }
      .filter { name in PictureFile.endings.contains { name.lowercased().hasSuffix("." + $0) } }
      .sorted()
    guard !names.isEmpty else {
      throw Diagnostic(
        .imageDataMissing, "the folder holds no .png, .jpg or .webp file",
        at: .file(request.pictures))
    }
    if let twins = Dictionary(grouping: names, by: stem).values.first(where: { $0.count > 1 }) {
      throw Diagnostic(
        .imageDataInvalid,
        "\(twins.joined(separator: " and ")) would go to one file, \(stem(twins[0])).safetensors",
        at: .file(request.pictures), remedy: "rename or remove one of them")
    }
    return names
  }

  private func stem(_ picture: String) -> String {
    String(picture[..<(picture.lastIndex(of: ".") ?? picture.endIndex)])
  }

  private func output(_ picture: String) -> String {
    FilePath.join(request.output, stem(picture) + ".safetensors")
  }

  private func caption(_ picture: String) throws -> String {
    let path = FilePath.join(request.pictures, stem(picture) + ".txt")
    guard let file = try InputFile.openIfPresent(path) else {
      throw Diagnostic(
        .imageDataMissing, "the picture \(picture) has no caption", at: .file(path),
        remedy: "write what it shows into that file")
    }
    let text = String(decoding: try file.wholeBytes(limit: Self.largestCaption), as: UTF8.self)
    return String(text.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
  }

  private func write(
    _ pictures: [String], _ prompts: [PromptEmbedding], done: Int, of count: Int
  ) throws {
    let vae = try PartFolder(FilePath.join(folder.path, "vae"))
    progress(.loading(part: "vae", 0))
    let encoder = try LatentEncoder(vae, backend: backend, computeDType: options.computeDType)
    guard encoder.latentChannels == size.channels else {
      throw Diagnostic(
        .imageConfigInvalid,
        "the encoder gives \(encoder.latentChannels) channels, and the transformer takes "
          + "\(size.channels)", at: .file(vae.configPath),
        remedy: "use encoder and transformer of one pipeline")
    }
    let enlargement = try LatentDecoder.enlargement(vae)
    for (index, (name, prompt)) in zip(pictures, prompts).enumerated() {
      let path = FilePath.join(request.pictures, name)
      let picture = try PictureFile.read(path)
      let pixels = try cut(
        request.side.map { picture.scaled(shorterSide: $0) } ?? picture,
        enlargement * size.patchEdge, path)
      let latents = try encoder.encode(
        pixels.values.map { Float($0) / 127.5 - 1 }, height: pixels.height, width: pixels.width)
      let shape: Shape = [
        size.channels, pixels.height / enlargement, pixels.width / enlargement,
      ]
      var bytes: [UInt8] = []
      try SafetensorsWriter.write([
        ("latents", Tensor(latents, shape: shape)),
        (
          "prompt_embeds",
          Tensor(prompt.rows, shape: [prompt.rows.count / size.promptWidth, size.promptWidth])
        ), ("pooled_prompt_embeds", Tensor(prompt.pooled, shape: [prompt.pooled.count])),
      ]) { bytes.append(contentsOf: $0) }
      try Pipeline.writeNew(bytes, to: output(name))
      progress(.step(done + index + 1, of: count))
    }
  }

  /// The middle of a picture, with sides that patches cover.
  private func cut(_ picture: PixelBytes, _ unit: Int, _ path: String) throws -> PixelBytes {
    let (width, height) = (picture.width / unit * unit, picture.height / unit * unit)
    let most = size.largestGrid.map { $0 * unit } ?? .max
    guard width > 0, height > 0, max(width, height) <= most else {
      throw Diagnostic(
        .imageSizeInvalid,
        "\(picture.width) × \(picture.height) pixels; each side must be \(unit)"
          + (most == .max ? " or more" : " to \(most)"), at: .file(path))
    }
    let (left, top) = ((picture.width - width) / 2, (picture.height - height) / 2)
    var values: [UInt8] = []
    values.reserveCapacity(3 * width * height)
    for row in top..<top + height {
      let start = 3 * (row * picture.width + left)
      values += picture.values[start..<start + 3 * width]
    }
    return PixelBytes(width: width, height: height, values: values)
  }
}
