// From a prompt to a picture: text encoders, transformer and decoder, one after the other in
// memory.
// Source: Esser et al. 2024, arXiv:2403.03206; Ho & Salimans 2022, "Classifier-Free Diffusion
// Guidance", arXiv:2207.12598, for the two predictions of each step.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAImage
import QLoRAModels
import QLoRAPictures
import QLoRARandom
import QLoRASystem
import QLoRATensor

extension Pipeline {
  /// - Returns: a PNG file.
  /// - Throws: diagnostics for a folder that is no pipeline, for prompts, sizes and noise that do
  ///   not fit, and for damaged parts.
  package static func image(
    _ request: ImageRequest, progress: @escaping (ImageProgress) -> Void
  ) throws -> [UInt8] {
    let picture = try picture(request, progress: progress)
    return PNGFile.bytes(width: picture.width, height: picture.height, pixels: picture.bytes)
  }

  /// The same before it becomes a file.
  package static func picture(
    _ request: ImageRequest, progress: @escaping (ImageProgress) -> Void = { _ in }
  ) throws -> Picture {
    try ImageGenerator(request, progress: progress).generate()
  }
}

struct ImageGenerator {
  private let request: ImageRequest
  private let folder: ImageFolder
  private let family: ImageFamily
  private let size: ImageModelSize
  private let backend: any Backend
  private let options: LoadOptions
  private let adapter: PEFTAdapter?
  private let progress: (ImageProgress) -> Void

  init(_ request: ImageRequest, progress: @escaping (ImageProgress) -> Void) throws {
    self.request = request
    self.progress = progress
    folder = try ImageFolder.ofPipeline(request.model)
    family = try ImageFamily(folder.transformer)
    size = try ImageModelSize(folder.transformer)
    let opened = try request.adapter.map(AdapterFolder.open)
    adapter = opened?.adapter
    options = Self.options(request, trained: opened?.load)
    backend = try Backends.make(threads: request.threads)
  }

  private static func options(_ request: ImageRequest, trained: LoadOptions?) -> LoadOptions {
    Pipeline.loadOptions(
      BaseOptions(
        model: request.model, adapter: request.adapter, quantization: request.quantization,
        computeDType: request.computeDType, threads: request.threads),
      trained: trained ?? LoadOptions(quantization: nil, computeDType: .bfloat16))
  }

  func generate() throws -> Picture {
    // What an encoder or the transformer took is given back before the next part is loaded.
    let prompts = try encodedPrompts()
    let vae = try PartFolder(FilePath.join(folder.path, "vae"))
    let latents = try sampled(prompts, try noise(vae))
    progress(.loading(part: "vae", 0))
    let decoder = try LatentDecoder(
      vae, backend: backend, computeDType: options.computeDType)
    guard decoder.latentChannels == size.channels else {
      throw Diagnostic(
        .imageConfigInvalid,
        "the decoder takes \(decoder.latentChannels) channels, and the transformer gives "
          + "\(size.channels)", at: .file(vae.configPath),
        remedy: "use decoder and transformer of one pipeline")
    }
    let grid = latents.grid
    return try decoder.decode(
      latents.values, height: grid.rows * grid.edge, width: grid.columns * grid.edge)
  }

  /// The prompt, and in Stable Diffusion 3 what it is guided away from.
  private func encodedPrompts() throws -> [PromptEmbedding] {
    let encoders = PromptEncoders(
      folder: folder, family: family, size: size, backend: backend, options: options,
      progress: progress)
    switch request.prompt {
    case .embeddings(let path):
      if isGuidedByTwo {
        throw Diagnostic(
          .imagePromptInvalid,
          "embeddings say nothing of a negative prompt, which guidance above 1 needs",
          at: .file(path), remedy: "give --guidance 1, or --prompt instead of --embeddings")
      }
      return [try PromptEmbedding(path: path, size)]
    case .tokens(let path):
      let tokens = try PromptEncoders.tokens(path: path)
      let negative: PromptEncoders.Tokens = { try tokens("negative_" + $0, $1, $2) }
      return try encoders.encode(isGuidedByTwo ? [tokens, negative] : [tokens], maxTokens: nil)
    case .text(let text, let negative, let maxTokens):
      let texts = isGuidedByTwo ? [text, negative] : [text]
      return try encoders.encode(texts.map(encoders.tokens), maxTokens: maxTokens)
    }
  }

  private var guidance: Double { request.guidance ?? (family == .flux ? 3.5 : 7) }
  /// Whether each step predicts with and without the prompt.
  private var isGuidedByTwo: Bool { family == .sd3 && guidance > 1 }

  private struct Latents {
    let grid: PatchGrid
    /// `[channels, height, width]`.
    var values: [Float]
  }

  private func noise(_ vae: PartFolder) throws -> Latents {
    let enlargement = try LatentDecoder.enlargement(vae)
    let unit = enlargement * size.patchEdge
    let (rows, columns) = (request.height / unit, request.width / unit)
    guard rows > 0, columns > 0, rows * unit == request.height, columns * unit == request.width,
      max(rows, columns) <= size.largestGrid ?? .max
    else {
      let most = size.largestGrid.map { " and at most \($0 * unit)" } ?? ""
      throw Diagnostic(
        .imageSizeInvalid,
        "width and height must be multiples of \(unit)\(most), found \(request.width) and "
          + "\(request.height)")
    }
    let grid = PatchGrid(
      channels: size.channels, rows: rows, columns: columns, edge: size.patchEdge)
    let count = grid.count * grid.width
    guard let path = request.noisePath else {
      var random = SplitMix64(seed: request.seed)
      return Latents(
        grid: grid, values: FlowMatching.normals(count, &random).map { Float($0) })
    }
    let name = "latents"
    let file = try SafetensorsFile(path: path)
    guard let entry = try? file.entry(name), entry.shape.count == count,
      entry.shape.extents.suffix(3)
        == [size.channels, rows * size.patchEdge, columns * size.patchEdge]
    else {
      throw Diagnostic(
        .imagePromptInvalid,
        "expected [\(size.channels), \(rows * size.patchEdge), \(columns * size.patchEdge)]",
        at: .tensor(file: path, name: name))
    }
    return Latents(grid: grid, values: try file.readTensor(name).floats())
  }

  /// From noise to latents, by Euler's steps.
  private func sampled(_ prompts: [PromptEmbedding], _ noise: Latents) throws -> Latents {
    let part = "transformer"
    progress(.loading(part: part, 0))
    let model = try ImageModel(folder.transformer, backend: backend, options: options) {
      progress(.loading(part: part, $0))
    }
    if let adapter { try model.addAdapters(adapter) }
    let grid = noise.grid
    let sigmas = try NoiseSchedule(folder).sigmas(
      steps: request.steps, patches: grid.count, family: family)
    var latents = noise
    for step in 0..<request.steps {
      let velocity = predicted(model, prompts, latents, sigma: sigmas[step])
      let length = sigmas[step + 1] - sigmas[step]
      latents.values = zip(latents.values, velocity).map { $0 + length * $1 }
      progress(.step(step + 1, of: request.steps))
    }
    return latents
  }

  /// The velocity `[channels, height, width]`.
  private func predicted(
    _ model: ImageModel, _ prompts: [PromptEmbedding], _ latents: Latents, sigma: Float
  ) -> [Float] {
    let grid = latents.grid
    let patches = grid.patches(latents.values, .channelsFirst)
    let lengths = prompts.map { $0.rows.count / size.promptWidth }
    let input = ImageInput(
      grids: prompts.map { _ in grid },
      patches: Tensor(
        prompts.flatMap { _ in patches }, shape: [prompts.count * grid.count, grid.width]),
      prompts: Tensor(
        prompts.flatMap(\.rows), shape: [lengths.reduce(0, +), size.promptWidth]),
      promptLengths: lengths,
      pooled: Tensor(prompts.flatMap(\.pooled), shape: [prompts.count, size.pooledWidth]),
      sigmas: prompts.map { _ in sigma }, guidances: prompts.map { _ in Float(guidance) })
    let rows = model.velocity(input, on: Tape(backend: backend, isRecording: false)).value
    backend.synchronize()
    let values = rows.floats()
    let count = grid.count * grid.width
    let guided =
      prompts.count == 1
      ? values
      : (0..<count).map { index in
        let without = values[count + index]
        return without + Float(guidance) * (values[index] - without)
      }
    return grid.latent(guided, size.outputOrder)
  }
}
