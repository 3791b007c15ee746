// Text from a prompt, token by token.

import QLoRACUDA
import QLoRADiagnostics
import QLoRAJSON
import QLoRAModels
import QLoRATensor
import QLoRAText

package struct Generator {
  let loaded: LoadedModel

  package init(_ loaded: LoadedModel) { self.loaded = loaded }

  /// Generates until an end token, a stop text or the limit; `emit` gets each piece of the text.
  ///
  /// - Throws: where the prompt is empty or too long, or the model lacks a chat template.
  package func generate(
    _ options: GenerationOptions, emit: (String) -> Void = { _ in }
  ) throws -> GenerationReport {
    let prompt = try promptTokens(options)
    var scores: [ScoredToken] = []
    let clock = ContinuousClock()
    let start = clock.now
    let answer = try answer(
      to: prompt, options.answer,
      emit: { piece in
        emit(piece.text)
        if let score = piece.score { scores.append(score) }
      })
    return GenerationReport(
      text: answer.text, promptTokens: prompt.count, generatedTokens: answer.generatedTokens,
      tokensPerSecond: Double(answer.generatedTokens) / max(1e-9, clock.now.seconds(since: start)),
      finishReason: answer.finishReason, scores: scores)
  }

  /// The answer to a prompt that is tokens already.
  ///
  /// - Parameters:
  ///   - memory: of this model as it is now; afterwards it has this prompt and answer.
  ///   - isStopped: is asked before every token.
  /// - Throws: `emptyPrompt`, `promptTooLong`, `deviceMemoryExhausted`, `deviceLost`.
  package func answer(
    to prompt: [Int32], _ options: AnswerOptions, memory: PromptMemory? = nil,
    isStopped: () -> Bool = { false }, emit: (AnswerPiece) -> Void = { _ in }
  ) throws -> Answer {
    do {
      return try write(prompt, options, memory, isStopped, emit)
    } catch let failure as Diagnostic {
      throw failure.ofAnswer
    }
  }

  private func write(
    _ prompt: [Int32], _ options: AnswerOptions, _ memory: PromptMemory?,
    _ isStopped: () -> Bool, _ emit: (AnswerPiece) -> Void
  ) throws -> Answer {
    let room = try loaded.room(after: prompt)
    let memory = memory ?? PromptMemory(loaded.model, reuse: .wholeChunks)
    var answer = Answer(text: "", finishReason: .length, generatedTokens: 0)
    guard let fed = try memory.feed(prompt, isStopped: isStopped) else {
      answer.finishReason = .cancelled
      return answer
    }
    answer.reusedTokens = fed.reused
    var logits = fed.logits
    var sampler = Sampler(options.sampling, prompt: prompt)
    var decoder = loaded.text.tokenizer.makeStreamingDecoder()
    var stops = StopFinder(options.stop)
    var last: Int32?
    func add(_ text: String, _ score: ScoredToken? = nil) {
      answer.text += text
      if !text.isEmpty || score != nil { emit(AnswerPiece(text: text, score: score)) }
    }
    while answer.generatedTokens < min(options.maxTokens, room) {
      if isStopped() {
        answer.finishReason = .cancelled
        break
      }
      if let last { logits = try memory.feed(last) }
      // Logits stay on their device where nobody looks at all of them.
      let token =
        sampler.takesTheLikeliest && options.scores == nil
        ? loaded.model.backend.likeliest(logits) : sampler.next(logits.floats())
      // Now the device has said what it had to say.
      try loaded.model.backend.checkHealth()
      last = token
      if loaded.text.endTokens.contains(token) {
        answer.finishReason = .stop
        break
      }
      answer.generatedTokens += 1
      let score = options.scores.map {
        ScoredToken(TokenScores(logits.floats(), chosen: token, count: $0), loaded.text.tokenizer)
      }
      add(stops.append(decoder.append(token)), score)
      if stops.isFound {
        answer.finishReason = .stop
        break
      }
    }
    add(stops.append(decoder.finish()) + stops.finish())
    return answer
  }

  /// The greedy answer to a prompt that is tokens already.
  func answer(to prompt: [Int32], maxTokens: Int) -> String {
    let cache = loaded.model.makeCache()
    var written: [Int32] = []
    guard !prompt.isEmpty else { return "" }
    var next = loaded.model.open(prompt, cache)
    while written.count < maxTokens, !next.isEmpty {
      let token = loaded.model.likeliestToken(after: next, cache)
      if loaded.text.endTokens.contains(token) { break }
      written.append(token)
      next = [token]
    }
    return loaded.text.tokenizer.decode(written)
  }

  private func promptTokens(_ options: GenerationOptions) throws -> [Int32] {
    // A model that reads and writes has no chat template as a rule, and takes the words alone.
    let isPlain = loaded.model.readsAndWrites && loaded.text.template == nil
    guard options.usesTemplate, !isPlain else {
      return loaded.text.tokenizer.encode(options.prompt, addSpecialTokens: true)
    }
    var messages: [JSONValue] = []
    if let system = options.system { messages.append(ChatSession.message("system", system)) }
    messages.append(ChatSession.message("user", options.prompt))
    let template = try loaded.text.requireTemplate(loaded.source.path)
    let segments = try template.render(messages, addsGenerationPrompt: true)
    return loaded.text.tokenizer.encode(segments).ids
  }
}

extension Diagnostic {
  /// The same, with what helps an answer where a GPU's memory is short.
  var ofAnswer: Diagnostic {
    guard code == .deviceMemoryExhausted else { return self }
    return Diagnostic(
      code, message, at: location,
      remedy: "shorten the prompt, hold the model smaller with --quantization nf4, end other "
        + "programs that use the GPU, or say --device cpu")
  }
}

extension LoadedModel {
  /// How many tokens may follow a prompt.
  ///
  /// - Throws: `emptyPrompt`, `promptTooLong`.
  func room(after prompt: [Int32]) throws -> Int {
    guard !prompt.isEmpty else {
      throw Diagnostic(
        .emptyPrompt, "the prompt has no token", remedy: "give one with --prompt or on stdin")
    }
    let positions = source.config.maxPositions
    guard prompt.count < positions else {
      throw Diagnostic(
        .promptTooLong, "the prompt has \(prompt.count) tokens, the model \(positions) positions",
        at: .file(source.path), remedy: "shorten it")
    }
    return positions - prompt.count
  }
}

extension ContinuousClock.Instant {
  func seconds(since start: ContinuousClock.Instant) -> Double {
    let duration = start.duration(to: self)
    return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}
