// A prompt through the text encoders of a pipeline, each of which is in memory only while it
// encodes.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAImage
import QLoRAJSON
import QLoRAModels
import QLoRASystem
import QLoRATensor
import QLoRAText

/// A prompt as a transformer of images takes it.
struct PromptEmbedding {
  /// `[tokens, width]`.
  var rows: [Float]
  var pooled: [Float]
}

struct PromptEncoders {
  let folder: ImageFolder
  let family: ImageFamily
  let size: ImageModelSize
  let backend: any Backend
  let options: LoadOptions
  let progress: (ImageProgress) -> Void

  /// Tokens that T5 is given, padding included.
  private var usualTokens: Int { family == .flux ? 512 : 256 }
  private var clipCount: Int { family == .flux ? 1 : 2 }

  /// Which tokens each tokenizer's folder gives for a text.
  typealias Tokens = (_ tokenizer: String, _ length: Int, _ pad: PadKind) throws -> [Int32]

  /// What a prompt is filled up with.
  enum PadKind {
    /// The folder's own padding, else its end token.
    case ofTokenizer
    /// Token 0, as T5 and the second CLIP have it.
    case zero
  }

  /// Each encoder is loaded once for all prompts.
  ///
  /// - Parameter prompts: their tokens.
  /// - Throws: what is wrong with a tokenizer, an encoder or the tokens.
  func encode(_ prompts: [Tokens], maxTokens: Int?) throws -> [PromptEmbedding] {
    // Of every CLIP, all prompts.
    let clips = try (0..<clipCount).map { try clipStates(prompts, $0) }
    let rows = try t5Rows(prompts, maxTokens ?? usualTokens)
    return try rows.indices.map { index in
      try joined(clips.map { $0[index] }, rows[index])
    }
  }

  private struct CLIPState {
    var embedding: CLIPEmbedding
    var hidden: Int
    var length: Int
  }

  private func clipStates(_ prompts: [Tokens], _ index: Int) throws -> [CLIPState] {
    let suffix = index == 0 ? "" : "_\(index + 1)"
    let (part, name) = ("text_encoder" + suffix, "tokenizer" + suffix)
    progress(.loading(part: part, 0))
    let encoder = try CLIPTextEncoder(
      try PartFolder(FilePath.join(folder.path, part)), backend: backend,
      options: LoadOptions(quantization: nil, computeDType: .float32))
    return try prompts.map { tokens in
      let prompt = try check(
        tokens(name, encoder.length, index == 0 ? .ofTokenizer : .zero), name,
        vocabulary: encoder.vocabularySize, most: encoder.length)
      return CLIPState(
        embedding: encoder.encode(prompt), hidden: encoder.hidden, length: prompt.count)
    }
  }

  /// What the encoders made of one prompt as the transformer takes it.
  private func joined(_ clips: [CLIPState], _ rows: [Float]) throws -> PromptEmbedding {
    let pooled = clips.flatMap(\.embedding.pooled)
    guard pooled.count == size.pooledWidth else {
      throw mismatch("\(pooled.count) numbers for the whole prompt", size.pooledWidth)
    }
    guard family == .sd3 else { return PromptEmbedding(rows: rows, pooled: pooled) }
    let width = clips.reduce(0) { $0 + $1.hidden }
    guard width <= size.promptWidth else {
      throw mismatch("\(width) numbers for a token of CLIP", size.promptWidth)
    }
    guard Set(clips.map(\.length)).count == 1 else {
      throw Diagnostic(
        .imagePromptInvalid, "both CLIPs must be given as many tokens", at: .file(folder.path))
    }
    // Both CLIPs side by side, as wide as T5 with zeros, then T5 behind them.
    var joined: [Float] = []
    for row in 0..<clips[0].length {
      for clip in clips {
        joined += clip.embedding.penultimate[row * clip.hidden..<(row + 1) * clip.hidden]
      }
      joined += [Float](repeating: 0, count: size.promptWidth - width)
    }
    return PromptEmbedding(rows: joined + rows, pooled: pooled)
  }

  private func t5Rows(_ prompts: [Tokens], _ length: Int) throws -> [[Float]] {
    let number = clipCount + 1
    let part = "text_encoder_\(number)"
    progress(.loading(part: part, 0))
    let encoder = try T5Encoder(
      try PartFolder(FilePath.join(folder.path, part)), backend: backend, options: options)
    guard encoder.hidden == size.promptWidth else {
      throw mismatch("\(encoder.hidden) numbers for a token of T5", size.promptWidth)
    }
    let name = "tokenizer_\(number)"
    return try prompts.map { tokens in
      try encoder.encode(
        try check(
          tokens(name, length, .zero), name, vocabulary: encoder.vocabularySize, most: .max))
    }
  }

  private func check(
    _ tokens: [Int32], _ name: String, vocabulary: Int, most: Int
  ) throws(Diagnostic) -> [Int32] {
    guard !tokens.isEmpty, tokens.count <= most, tokens.allSatisfy({ 0..<vocabulary ~= Int($0) })
    else {
      throw Diagnostic(
        .imagePromptInvalid,
        "the tokens of \(name) must be 1 to \(most == .max ? "any number" : "\(most)"), each "
          + "below \(vocabulary)", at: .file(folder.path))
    }
    return tokens
  }

  private func mismatch(_ found: String, _ taken: Int) -> Diagnostic {
    Diagnostic(
      .imagePromptInvalid,
      "the text encoders give \(found), and the transformer takes \(taken)",
      at: .file(folder.path), remedy: "use encoders and transformer of one pipeline")
  }

  /// Tokens of a text, cut or filled up to the length.
  /// - Throws: what is wrong with a tokenizer's folder.
  func tokens(of text: String) -> Tokens {
    { [folder] name, length, pad in
      let tokenizer = try Tokenizer.loadForImages(folder: FilePath.join(folder.path, name))
      // As the reference has it: a prompt has one writer, who may use the tokenizer's own tokens.
      var ids = tokenizer.encode(text)
      if ids.count > length {
        // The end stays, as the reference's truncation keeps it.
        let end = tokenizer.eosToken.map { ids.last == $0.id ? [$0.id] : [] } ?? []
        ids = Array(ids.prefix(length - end.count)) + end
      }
      let filler =
        pad == .zero ? 0 : (tokenizer.padToken ?? tokenizer.eosToken)?.id ?? 0
      return ids + Array(repeating: filler, count: max(0, length - ids.count))
    }
  }

  /// Tokens that a JSON file has for each tokenizer.
  /// - Throws: `imagePromptInvalid`.
  static func tokens(path: String) throws -> Tokens {
    let largest = 1 << 20
    let json = try JSONValue.read(
      try InputFile(path: path), limit: largest, code: .imagePromptInvalid)
    return { name, _, _ in
      let values = json[name]?.arrayValue ?? []
      let ids = values.compactMap(\.intValue).compactMap { Int32(exactly: $0) }
      guard !ids.isEmpty, ids.count == values.count else {
        throw Diagnostic(
          .imagePromptInvalid, "\"\(name)\" must be a list of token numbers", at: .file(path))
      }
      return ids
    }
  }
}

extension PromptEmbedding {
  /// - Throws: `imagePromptInvalid`.
  init(path: String, _ size: ImageModelSize) throws {
    let file = try SafetensorsFile(path: path)
    func values(_ name: String, multipleOf width: Int) throws -> [Float] {
      guard let entry = try? file.entry(name), entry.shape.extents.last == width,
        entry.shape.count > 0, entry.dtype.isFloatingPoint
      else {
        throw Diagnostic(
          .imagePromptInvalid, "expected a tensor whose rows have \(width) numbers",
          at: .tensor(file: path, name: name))
      }
      return try file.readTensor(name).floats()
    }
    rows = try values("prompt_embeds", multipleOf: size.promptWidth)
    pooled = try values("pooled_prompt_embeds", multipleOf: size.pooledWidth)
    guard pooled.count == size.pooledWidth else {
      throw Diagnostic(
        .imagePromptInvalid, "expected one prompt of \(size.pooledWidth) numbers",
        at: .tensor(file: path, name: "pooled_prompt_embeds"))
    }
  }
}
