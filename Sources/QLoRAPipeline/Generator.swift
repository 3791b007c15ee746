// Text from a prompt, token by token.

import QLoRADiagnostics
import QLoRAJSON
import QLoRAModels
import QLoRATensor
import QLoRAText

/// How to generate.
package struct GenerationOptions: Sendable {
  package init() {}
  package var prompt = ""
  package var system: String?
  package var usesTemplate = true
  package var maxTokens = 256
  package var temperature = 0.0
  package var topP = 1.0
  package var seed: UInt64 = 0
}

package struct GenerationReport: Sendable {
  package var text: String
  package var promptTokens: Int
  package var generatedTokens: Int
  package var tokensPerSecond: Double
  /// `stop` at an end token, `length` at the limit.
  package var finishReason: String
}

package struct Generator {
  let loaded: LoadedModel

  package init(_ loaded: LoadedModel) { self.loaded = loaded }

  /// Generates until an end token or the limit; `emit` gets each piece of complete text.
  ///
  /// - Throws: where the prompt is empty or the model lacks a chat template.
  package func generate(
    _ options: GenerationOptions, emit: (String) -> Void = { _ in }
  ) throws -> GenerationReport {
    let prompt = try promptTokens(options)
    guard !prompt.isEmpty else {
      throw Diagnostic(
        .emptyPrompt, "the prompt has no token", remedy: "give one with --prompt or on stdin")
    }
    var sampler = Sampler(
      temperature: options.temperature, topP: options.topP, seed: options.seed)
    var decoder = loaded.text.tokenizer.makeStreamingDecoder()
    let cache = loaded.model.makeCache()
    var text = ""
    var count = 0
    var next = prompt
    var reason = "length"
    let clock = ContinuousClock()
    let start = clock.now
    while count < options.maxTokens {
      let token = sampler.next(loaded.model.nextLogits(after: next, cache))
      try loaded.model.checkWeights()
      if loaded.text.endTokens.contains(token) {
        reason = "stop"
        break
      }
      count += 1
      let piece = decoder.append(token)
      text += piece
      emit(piece)
      next = [token]
    }
    let rest = decoder.finish()
    emit(rest)
    return GenerationReport(
      text: text + rest, promptTokens: prompt.count, generatedTokens: count,
      tokensPerSecond: Double(count) / max(1e-9, clock.now.seconds(since: start)),
      finishReason: reason)
  }

  /// The greedy answer to a prompt that is tokens already.
  func answer(to prompt: [Int32], maxTokens: Int) -> String {
    let cache = loaded.model.makeCache()
    var written: [Int32] = []
    var next = prompt
    while written.count < maxTokens, !next.isEmpty {
      let token = Sampler.greedy(loaded.model.nextLogits(after: next, cache))
      if loaded.text.endTokens.contains(token) { break }
      written.append(token)
      next = [token]
    }
    return loaded.text.tokenizer.decode(written)
  }

  private func promptTokens(_ options: GenerationOptions) throws -> [Int32] {
    guard options.usesTemplate else {
      return loaded.text.tokenizer.encode(options.prompt, addSpecialTokens: true)
    }
    let template = try loaded.text.requireTemplate(loaded.source.path)
    var messages: [JSONValue] = []
    if let system = options.system { messages.append(message("system", system)) }
    messages.append(message("user", options.prompt))
    let segments = try template.render(messages, addsGenerationPrompt: true)
    return loaded.text.tokenizer.encode(segments).ids
  }

  private func message(_ role: String, _ content: String) -> JSONValue {
    .dictionary([("role", .string(role)), ("content", .string(content))])
  }
}

extension ContinuousClock.Instant {
  func seconds(since start: ContinuousClock.Instant) -> Double {
    let duration = start.duration(to: self)
    return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}
