// What a client asks of /v1/chat/completions or /v1/completions, read and checked without a model.
import QLoRAJSON
import QLoRAPipeline

package struct CompletionRequest: Sendable {
  package enum Endpoint: Sendable, CaseIterable { case chat, text }

  package enum Input: Sendable {
    case conversation(messages: [JSONValue], tools: JSONValue?)
    case prompts([Prompt])
  }

  package enum Prompt: Sendable {
    case text(String)
    case tokens([Int])
  }

  package let endpoint: Endpoint
  package let model: String
  package let input: Input
  /// Answers to each prompt.
  package let choices: Int
  /// `maxTokens` is of no meaning here.
  package private(set) var answer = AnswerOptions()
  /// nil: as many as the model has positions for.
  package let maxTokens: Int?
  package let streams: Bool
  /// Whether a stream ends with a count of tokens.
  package let includesUsage: Bool

  /// Those of one request; each takes as long as an answer of its own.
  private static let mostChoices = 8
  static let mostPrompts = 64

  /// - Throws: an error that names the field at fault.
  package init(_ bytes: [UInt8], _ endpoint: Endpoint) throws(APIError) {
    let fields = try RequestFields(bytes)
    try Self.checkKeys(fields, endpoint)
    guard let model = try fields.string("model") else {
      throw APIError("'model' is required.", parameter: "model", code: "missing_parameter")
    }
    self.endpoint = endpoint
    self.model = model
    choices = try fields.integer("n", 1...Self.mostChoices) ?? 1
    let limit = try fields.integer("max_tokens", 1...Int.max)
    // A text without a word on its length is short, as it is with OpenAI.
    let usualTextLength = 16
    maxTokens =
      try fields.integer("max_completion_tokens", 1...Int.max) ?? limit
      ?? (endpoint == .text ? usualTextLength : nil)
    streams = try fields.flag("stream")
    includesUsage = try Self.includesUsage(fields, streams)
    switch endpoint {
    case .chat: input = try Self.conversation(fields)
    case .text: input = .prompts(try Self.prompts(fields))
    }
    try readSampling(fields)
    answer.stop = try Self.stops(fields)
    answer.scores = try Self.scores(fields, endpoint)
  }

  private mutating func readSampling(_ fields: RequestFields) throws(APIError) {
    let most = 1e6
    answer.sampling.temperature = try fields.number("temperature", 0...2) ?? 1
    answer.sampling.topP = try fields.number("top_p", 0...1) ?? 1
    answer.sampling.topK = max(0, try fields.integer("top_k", -1...Int.max) ?? 0)
    answer.sampling.minP = try fields.number("min_p", 0...1) ?? 0
    answer.sampling.repetitionPenalty =
      try fields.number("repetition_penalty", (1 / most)...most) ?? 1
    answer.sampling.frequencyPenalty = try fields.number("frequency_penalty", -2...2) ?? 0
    answer.sampling.presencePenalty = try fields.number("presence_penalty", -2...2) ?? 0
    let seed = try fields.integer("seed", Int.min...Int.max)
    answer.sampling.seed =
      seed.map { UInt64(bitPattern: Int64($0)) } ?? UInt64.random(in: .min ... .max)
  }

  private static func includesUsage(
    _ fields: RequestFields, _ streams: Bool
  ) throws(APIError) -> Bool {
    let key = "stream_options"
    guard let options = fields[key] else { return false }
    guard options.objectMembers != nil else {
      throw RequestFields.mismatch(key, "an object", options)
    }
    guard streams else {
      throw APIError("'stream_options' needs 'stream'.", parameter: key, code: "invalid_value")
    }
    guard let value = options["include_usage"], !value.isNull else { return false }
    guard let flag = value.boolValue else {
      throw RequestFields.mismatch("\(key).include_usage", "a boolean", value)
    }
    return flag
  }

  private static func stops(_ fields: RequestFields) throws(APIError) -> [String] {
    guard let value = fields["stop"] else { return [] }
    let (most, longest) = (16, 1024)
    var stops: [String] = []
    for text in value.arrayValue ?? [value] {
      guard let stop = text.stringValue, !stop.isEmpty, stop.utf8.count <= longest else {
        throw RequestFields.mismatch(
          "stop", "a text of 1 to \(longest) bytes, or an array of such", text)
      }
      stops.append(stop)
    }
    guard stops.count <= most else {
      throw APIError("'stop' has more than \(most) texts.", parameter: "stop")
    }
    return stops
  }

  private static func scores(
    _ fields: RequestFields, _ endpoint: Endpoint
  ) throws(APIError) -> Int? {
    let most = 20
    if endpoint == .text { return try fields.integer("logprobs", 0...most) }
    let count = try fields.integer("top_logprobs", 0...most)
    guard try fields.flag("logprobs") else {
      if count != nil {
        throw APIError("'top_logprobs' needs 'logprobs'.", parameter: "top_logprobs")
      }
      return nil
    }
    return count ?? 0
  }
}
