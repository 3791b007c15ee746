// Requests of OpenAI's interface: what is understood, what is refused, and with which words.
import QLoRAJSON
import QLoRAServing
import Testing

@Suite struct CompletionRequestTests {
  private static let message = #"{"role": "user", "content": "hi"}"#

  private func chat(_ more: String = "") throws -> CompletionRequest {
    let rest = more.isEmpty ? "" : ", \(more)"
    let text = #"{"model": "m", "messages": [\#(Self.message)]\#(rest)}"#
    return try CompletionRequest(Array(text.utf8), .chat)
  }

  private func text(_ more: String) throws -> CompletionRequest {
    try CompletionRequest(Array(#"{"model": "m", \#(more)}"#.utf8), .text)
  }

  private func messages(_ list: String) throws -> [JSONValue] {
    let text = #"{"model": "m", "messages": [\#(list)]}"#
    let request = try CompletionRequest(Array(text.utf8), .chat)
    guard case .conversation(let messages, _) = request.input else { return [] }
    return messages
  }

  @Test func whatIsNotSaidIsAsWithOpenAI() throws {
    let request = try chat()
    #expect(request.answer.sampling.temperature == 1 && request.answer.sampling.topP == 1)
    #expect(request.choices == 1 && request.maxTokens == nil && !request.streams)
    #expect(request.answer.scores == nil && request.answer.stop.isEmpty)
    #expect(try text(#""prompt": "a""#).maxTokens == 16)
    #expect(try chat(#""temperature": null, "stop": null, "n": null"#).choices == 1)
    // Without a seed, no two answers need be alike.
    #expect(request.answer.sampling.seed != (try chat().answer.sampling.seed))
  }

  @Test func everyFieldIsRead() throws {
    let request = try chat(
      #"""
      "temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "repetition_penalty": 1.5,
      "frequency_penalty": -2, "presence_penalty": 1, "seed": -1, "n": 3, "max_tokens": 5,
      "max_completion_tokens": 7, "stop": ["a", "b"], "stream": true,
      "stream_options": {"include_usage": true}, "logprobs": true, "top_logprobs": 4,
      "user": "u", "logit_bias": {}, "response_format": {"type": "text"}
      """#)
    let sampling = request.answer.sampling
    #expect(sampling.temperature == 0 && sampling.topP == 0.5 && sampling.topK == 3)
    #expect(sampling.minP == 0.1 && sampling.repetitionPenalty == 1.5)
    #expect(sampling.frequencyPenalty == -2 && sampling.presencePenalty == 1)
    #expect(sampling.seed == .max && request.choices == 3 && request.maxTokens == 7)
    #expect(request.answer.stop == ["a", "b"] && request.streams && request.includesUsage)
    #expect(request.answer.scores == 4)
    #expect(try chat(#""stop": "x", "logprobs": true"#).answer.stop == ["x"])
  }

  /// Each is refused with 400 and the field's name.
  @Test(arguments: [
    ("temperature", "-1"), ("temperature", "3"), ("temperature", "\"1\""), ("temperature", "1e999"),
    ("top_p", "1.5"), ("top_k", "-2"), ("top_k", "1.5"), ("min_p", "2"), ("n", "0"), ("n", "1e9"),
    ("n", "99999999999999999999"), ("max_tokens", "0"), ("max_tokens", "-5"),
    ("max_tokens", "true"), ("repetition_penalty", "0"), ("frequency_penalty", "9"),
    ("seed", "1.5"),
    ("seed", "[]"), ("stop", "\"\""), ("stop", "[1]"), ("stop", "{}"), ("stream", "1"),
    ("stream_options", "{}"), ("logprobs", "3"), ("top_logprobs", "2"),
    ("logit_bias", "{\"1\": 5}"),
    ("response_format", "{\"type\": \"json_object\"}"), ("tools", "{}"),
    ("tools", "[{\"type\": \"function\"}]"), ("tool_choice", "\"required\""), ("temprature", "1"),
    ("prompt", "\"a\""), ("functions", "[{}]"),
  ])
  func wrongFieldsAreNamed(field: String, value: String) throws {
    #expect {
      try chat(#""\#(field)": \#(value)"#)
    } throws: { error in
      (error as? APIError)?.status == 400 && (error as? APIError)?.parameter == field
    }
  }

  @Test(arguments: [
    "", "{", "[]", "null", "NaN", "{\"model\": NaN}", "{\"model\": 1}", "{}", "\u{FEFF}",
    "{\"model\": \"m\"}", "{\"model\": \"m\", \"messages\": []}",
    "{\"model\": \"m\", \"messages\": [[]]}", "{\"model\": \"m\", \"messages\": {}}",
    "{\"model\": \"m\", \"model\": \"m\"}", String(repeating: "[", count: 100_000),
    "{\"model\": \"m\", \"messages\": [{\"role\": \"king\", \"content\": \"x\"}]}",
    "{\"model\": \"m\", \"messages\": [{\"role\": \"user\"}]}",
    "{\"model\": \"m\", \"messages\": [{\"role\": \"user\", \"content\": 3}]}",
    "{\"model\": \"m\", \"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{}]}]}",
    #"{"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#,
  ])
  func wrongBodiesAreRefused(body: String) throws {
    #expect {
      try CompletionRequest(Array(body.utf8), .chat)
    } throws: {
      ($0 as? APIError)?.status == 400
    }
  }

  @Test func messagesBecomeWhatTemplatesExpect() throws {
    let list = try messages(
      #"""
      {"role": "developer", "content": "d", "name": null},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "1", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
        {"id": "2", "function": {"name": "f", "arguments": "no JSON"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "7"}
      """#)
    #expect(list[0] == .dictionary([("role", "system"), ("content", "d")]))
    #expect(list[1]["content"] == "ab")
    let calls = list[2]["tool_calls"]?.arrayValue ?? []
    #expect(calls[0]["function"]?["arguments"] == .dictionary([("x", 1)]))
    #expect(calls[1]["function"]?["arguments"] == "no JSON")
    #expect(list[2]["content"] == .null && list[3]["tool_call_id"] == "1")
  }

  @Test func toolsAreGivenUnlessNoneAreWanted() throws {
    func tools(_ more: String) throws -> JSONValue? {
      let tool = #"{"type": "function", "function": {"name": "f"}}"#
      guard case .conversation(_, let tools) = try chat(#""tools": [\#(tool)]\#(more)"#).input
      else { return nil }
      return tools
    }
    #expect(try tools("")?.arrayValue?.count == 1)
    #expect(try tools(#", "tool_choice": "none""#) == nil)
  }

  @Test func promptsComeInFourShapes() throws {
    func shape(_ prompt: String) throws -> [String] {
      guard case .prompts(let prompts) = try text(#""prompt": \#(prompt)"#).input else { return [] }
      return prompts.map { "\($0)" }
    }
    #expect(try shape(#""a""#) == [#"text("a")"#])
    #expect(try shape(#"["a", "b"]"#) == [#"text("a")"#, #"text("b")"#])
    #expect(try shape("[1, 2]") == ["tokens([1, 2])"])
    #expect(try shape(#"[[1], "b"]"#) == ["tokens([1])", #"text("b")"#])
    for wrong in ["null", "[]", "3", "[1, \"a\", 1.5]", "[[1.5]]", "[null]", "{}"] {
      #expect(throws: APIError.self, "\(wrong)") { try shape(wrong) }
    }
  }
}
