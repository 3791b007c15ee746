// What the models of a server have in common but their weights: names, tokenizer, template. From a
// request it makes the tokens that a model is given.
import QLoRADiagnostics
import QLoRAPipeline
import QLoRAText

package struct ServedText: Sendable {
  /// Names of models; the base is the first.
  package let names: [String]
  package let tokenizer: Tokenizer
  package let template: ChatTemplate?
  /// Positions of the model.
  package let positions: Int
  /// Tokens whose keys and values have room on the device; nil where it does not say.
  private let room: Int?

  package init(
    names: [String], tokenizer: Tokenizer, template: ChatTemplate?, positions: Int,
    room: Int? = nil
  ) {
    self.names = names
    self.tokenizer = tokenizer
    self.template = template
    self.positions = positions
    self.room = room
  }

  package init(_ model: SwitchedModel) {
    self.init(
      names: model.names, tokenizer: model.loaded.text.tokenizer,
      template: model.loaded.text.template, positions: model.loaded.source.config.maxPositions,
      room: model.loaded.model.cachedTokensWithRoom)
  }

  /// Tokens of each prompt.
  ///
  /// - Throws: where there is no such model, the template refuses, or a prompt has no token or too
  ///   many.
  package func prompts(of request: CompletionRequest) throws(APIError) -> [[Int32]] {
    guard names.contains(request.model) else {
      throw APIError(
        "The model '\(request.model.prefix(80))' does not exist; there are "
          + "\(names.joined(separator: ", ")).", status: 404, parameter: "model",
        code: "model_not_found")
    }
    var prompts: [[Int32]] = []
    switch request.input {
    case .conversation(let messages, let tools):
      guard let template else {
        throw APIError("This model has no chat template; ask /v1/completions.")
      }
      let segments: [TextSegment]
      do {
        segments = try template.render(messages, tools: tools, addsGenerationPrompt: true)
      } catch {
        let why = (error as? Diagnostic)?.message ?? "\(error)"
        throw APIError("The chat template refuses: \(why)", parameter: "messages")
      }
      prompts = [tokenizer.encode(segments).ids]
    case .prompts(let list):
      for prompt in list { prompts.append(try tokens(prompt)) }
    }
    for prompt in prompts { try check(prompt, request.endpoint == .chat ? "messages" : "prompt") }
    return prompts
  }

  private func tokens(_ prompt: CompletionRequest.Prompt) throws(APIError) -> [Int32] {
    switch prompt {
    case .text(let text): return tokenizer.encode(text, addSpecialTokens: true)
    case .tokens(let ids):
      guard ids.allSatisfy({ $0 >= 0 && $0 < tokenizer.vocabularyCount }) else {
        throw APIError(
          "'prompt' has a token id that is not in 0 ..< \(tokenizer.vocabularyCount).",
          parameter: "prompt", code: "invalid_value")
      }
      return ids.map(Int32.init)
    }
  }

  private func check(_ prompt: [Int32], _ field: String) throws(APIError) {
    guard !prompt.isEmpty else {
      throw APIError("'\(field)' has no token.", parameter: field, code: "invalid_value")
    }
    guard prompt.count < positions else {
      throw APIError(
        "'\(field)' has \(prompt.count) tokens, the model \(positions) positions.",
        parameter: field, code: "context_length_exceeded")
    }
    guard prompt.count <= room ?? .max else {
      throw APIError(
        "'\(field)' has \(prompt.count) tokens, and the device has room for keys and values of "
          + "\(room ?? 0).", parameter: field, code: "context_length_exceeded")
    }
  }
}
