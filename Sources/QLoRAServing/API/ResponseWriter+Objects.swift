// The objects of the two endpoints.
import QLoRAJSON
import QLoRAPipeline

extension ResponseWriter {
  private var isChat: Bool { request.endpoint == .chat }

  /// The object of an answer that is not streamed.
  func whole(_ usage: JSONValue) -> JSONValue {
    let list = choices.indices.map { isChat ? chatChoice($0) : textChoice($0) }
    return envelope(isChat ? "chat.completion" : "text_completion", list, [("usage", usage)])
  }

  /// An object of a stream. Where usage is asked for, it is null in all but the last.
  func chunk(_ list: [JSONValue], usage: JSONValue?) -> JSONValue {
    envelope(
      isChat ? "chat.completion.chunk" : "text_completion", list,
      request.includesUsage ? [("usage", usage ?? .null)] : [])
  }

  private func envelope(
    _ object: JSONValue, _ list: [JSONValue], _ more: [(String, JSONValue)]
  ) -> JSONValue {
    .dictionary(
      [
        ("id", .string(id)), ("object", object), ("created", .int(created)),
        ("model", .string(request.model)), ("choices", .list(list)),
      ] + more)
  }

  /// The first piece of a streamed chat choice, which says who speaks.
  func beginning(_ index: Int) -> JSONValue {
    choicePiece(index, .dictionary([("role", "assistant"), ("content", "")]), .null, nil)
  }

  func piece(_ change: Change, _ index: Int) -> JSONValue {
    switch change {
    case .text(let text, let score):
      let scores = score.map { isChat ? Self.chatScores([$0]) : Self.textScores([$0]) }
      let delta: JSONValue = isChat ? .dictionary([("content", .string(text))]) : .string(text)
      return choicePiece(index, delta, scores ?? .null, nil)
    case .call(let call, let number):
      let members = [("index", .int(number))] + callMembers(call, choice: index, number)
      let delta = JSONValue.dictionary([("tool_calls", .list([.dictionary(members)]))])
      return choicePiece(index, delta, .null, nil)
    case .end(let reason):
      return choicePiece(index, isChat ? .object([]) : "", .null, reason)
    }
  }

  private func choicePiece(
    _ index: Int, _ content: JSONValue, _ scores: JSONValue, _ reason: String?
  ) -> JSONValue {
    .dictionary([
      ("index", .int(index)), (isChat ? "delta" : "text", content), ("logprobs", scores),
      ("finish_reason", reason.map { .string($0) } ?? .null),
    ])
  }

  private func chatChoice(_ index: Int) -> JSONValue {
    let choice = choices[index]
    let hasWords = !choice.content.isEmpty || choice.calls.isEmpty
    var message: [(String, JSONValue)] = [
      ("role", "assistant"), ("content", hasWords ? .string(choice.content) : .null),
    ]
    if !choice.calls.isEmpty {
      let calls = choice.calls.enumerated().map {
        JSONValue.dictionary(callMembers($1, choice: index, $0))
      }
      message.append(("tool_calls", .list(calls)))
    }
    return .dictionary([
      ("index", .int(index)), ("message", .dictionary(message)),
      ("logprobs", request.answer.scores == nil ? .null : Self.chatScores(choice.scores)),
      ("finish_reason", .string(choice.finishReason ?? "")),
    ])
  }

  private func textChoice(_ index: Int) -> JSONValue {
    let choice = choices[index]
    return .dictionary([
      ("index", .int(index)), ("text", .string(choice.content)),
      ("logprobs", request.answer.scores == nil ? .null : Self.textScores(choice.scores)),
      ("finish_reason", .string(choice.finishReason ?? "")),
    ])
  }

  private func callMembers(
    _ call: ToolCall, choice: Int, _ number: Int
  ) -> [(String, JSONValue)] {
    [
      ("id", .string("call-\(id)-\(choice)-\(number)")), ("type", "function"),
      (
        "function",
        .dictionary([("name", .string(call.name)), ("arguments", .string(call.arguments))])
      ),
    ]
  }

  private static func chatScores(_ scores: [ScoredToken]) -> JSONValue {
    func members(_ entry: ScoredToken.Entry) -> [(String, JSONValue)] {
      [
        ("token", .string(entry.text)), ("logprob", .double(entry.logProbability)),
        ("bytes", .list(entry.bytes.map { .int(Int($0)) })),
      ]
    }
    let content = scores.map { score in
      JSONValue.dictionary(
        members(score.chosen)
          + [("top_logprobs", .list(score.best.map { .dictionary(members($0)) }))])
    }
    return .dictionary([("content", .list(content)), ("refusal", .null)])
  }

  /// Offsets count scalars of the tokens' texts from the beginning of the answer.
  private static func textScores(_ scores: [ScoredToken]) -> JSONValue {
    var offsets: [JSONValue] = []
    var offset = 0
    for score in scores {
      offsets.append(.int(offset))
      offset += score.chosen.text.unicodeScalars.count
    }
    let best = scores.map { score in
      // Pieces of characters look alike; the likeliest stands for them.
      var members: [(String, JSONValue)] = []
      for entry in score.best where !members.contains(where: { $0.0 == entry.text }) {
        members.append((entry.text, .double(entry.logProbability)))
      }
      return JSONValue.dictionary(members)
    }
    return .dictionary([
      ("tokens", .list(scores.map { .string($0.chosen.text) })),
      ("token_logprobs", .list(scores.map { .double($0.chosen.logProbability) })),
      ("top_logprobs", .list(best)), ("text_offset", .list(offsets)),
    ])
  }
}
