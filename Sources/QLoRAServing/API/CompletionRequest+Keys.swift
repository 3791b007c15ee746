// Which fields a request may have: those that are obeyed, those that change no answer, and those
// that would, and are refused.
import QLoRAJSON

extension CompletionRequest {
  private static let obeyed: Set<String> = [
    "model", "n", "max_tokens", "max_completion_tokens", "stream", "stream_options",
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty",
    "presence_penalty", "seed", "stop", "logprobs",
  ]
  private static let obeyedInChat: Set<String> = [
    "messages", "tools", "tool_choice", "top_logprobs",
  ]

  /// For the keeper of a service, not for the model.
  private static let passedOver: Set<String> = [
    "user", "store", "metadata", "service_tier", "parallel_tool_calls", "safety_identifier",
    "prompt_cache_key", "prompt_cache_retention",
  ]

  /// Refused, but for the value that means nothing.
  private static let neutral: [String: [JSONValue]] = [
    "logit_bias": [.object([])],
    "response_format": [.dictionary([("type", "text")])],
    "modalities": [["text"]],
    "echo": [false],
    "best_of": [1],
    "suffix": [""],
    "functions": [[]],
    "function_call": ["none"],
  ]

  static func checkKeys(_ fields: RequestFields, _ endpoint: Endpoint) throws(APIError) {
    for key in fields.keys where !obeyed.contains(key) && !passedOver.contains(key) {
      if endpoint == .chat ? obeyedInChat.contains(key) : key == "prompt" { continue }
      if let values = neutral[key] {
        if let value = fields[key], values.contains(value) { continue }
        throw APIError(
          "'\(key)' is not supported.", parameter: key, code: "unsupported_parameter")
      }
      throw APIError(
        "Unrecognized request argument supplied: \(key.prefix(80))",
        parameter: String(key.prefix(80)), code: "unknown_parameter")
    }
  }
}
