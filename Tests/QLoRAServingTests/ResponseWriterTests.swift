// The bytes of answers: events of streams, objects, and calls of tools on the way.
import QLoRAJSON
import QLoRAPipeline
import QLoRAServing
import Testing

@Suite struct ResponseWriterTests {
  private static let tool = #"{"type": "function", "function": {"name": "f"}}"#

  private func writer(
    _ more: String, _ endpoint: CompletionRequest.Endpoint = .chat
  ) throws -> ResponseWriter {
    let about =
      endpoint == .chat ? #""messages": [{"role": "user", "content": "x"}]"# : #""prompt": "x""#
    let request = try CompletionRequest(
      Array(#"{"model": "m", \#(about)\#(more)}"#.utf8), endpoint)
    return ResponseWriter(request, promptTokens: [5], id: "id", created: 7)
  }

  private func ended(_ tokens: Int, _ reason: FinishReason = .stop) -> Answer {
    Answer(text: "", finishReason: reason, generatedTokens: tokens)
  }

  /// Everything that is written of some texts.
  private func written(_ writer: ResponseWriter, _ texts: [String]) throws -> String {
    var writer = writer
    var bytes: [UInt8] = []
    for text in texts {
      bytes += try writer.bytes(for: .piece(choice: 0, AnswerPiece(text: text)))
    }
    bytes += try writer.bytes(for: .ended(choice: 0, ended(texts.count)))
    return String(decoding: bytes + (try writer.end()), as: UTF8.self)
  }

  private func events(_ text: String) throws -> [JSONValue] {
    let parts = text.split(separator: "\n\n").map(String.init)
    #expect(text.hasSuffix("data: [DONE]\n\n") && parts.allSatisfy { $0.hasPrefix("data: ") })
    return try parts.dropLast().map { try JSONValue(parsing: String($0.dropFirst(6))) }
  }

  @Test func aStreamSaysWhoSpeaksThenWhatThenWhy() throws {
    let stream = try written(
      try writer(#", "stream": true, "stream_options": {"include_usage": true}"#), ["a\n\nb", "é"])
    let events = try events(stream)
    let deltas = events.dropLast().map { $0["choices"]?.arrayValue?.first?["delta"] }
    #expect(deltas[0] == .dictionary([("role", "assistant"), ("content", "")]))
    #expect(deltas[1] == .dictionary([("content", "a\n\nb")]))
    #expect(deltas[2] == .dictionary([("content", "é")]) && deltas[3] == .object([]))
    let reasons = events.dropLast().map {
      $0["choices"]?.arrayValue?.first?["finish_reason"]?.stringValue
    }
    #expect(reasons == [nil, nil, nil, "stop"])
    let usage = events.last?["usage"]
    #expect(usage?["prompt_tokens"] == 5 && usage?["total_tokens"] == 7)
    #expect(events.last?["choices"]?.arrayValue?.isEmpty == true && events[0]["usage"] == .null)
    #expect(events.allSatisfy { $0["object"] == "chat.completion.chunk" && $0["id"] == "id" })
  }

  @Test func anObjectHasAllAtOnce() throws {
    let chat = try JSONValue(parsing: try written(try writer(""), ["a", "b"]))
    let choice = chat["choices"]?.arrayValue?.first
    #expect(choice?["message"]?["content"] == "ab" && choice?["finish_reason"] == "stop")
    #expect(chat["object"] == "chat.completion" && chat["usage"]?["completion_tokens"] == 2)
    let text = try JSONValue(parsing: try written(try writer("", .text), ["a", "b"]))
    #expect(text["choices"]?.arrayValue?.first?["text"] == "ab")
    #expect(text["object"] == "text_completion")
  }

  /// Space before an object and comments in a stream change nothing of it.
  @Test func signsOfLifeMeanNothing() throws {
    var whole = try writer("")
    #expect(try whole.bytes(for: .waiting) == Array(" ".utf8))
    var stream = try writer(#", "stream": true"#)
    #expect(try stream.bytes(for: .waiting) == Array(": \n\n".utf8))
  }

  @Test func whatIsBrokenOffIsNoAnswer() throws {
    #expect(throws: APIError.self) { try writer("").end() }
    var whole = try writer("")
    #expect(throws: APIError.self) { try whole.bytes(for: .failed("disk")) }
    var stream = try writer(#", "stream": true"#)
    let bytes = try stream.bytes(for: .failed("disk"))
    #expect(String(decoding: bytes, as: UTF8.self).contains("\"error\""))
  }

  @Test func scoresComeInBothShapes() throws {
    let entry = ScoredToken.Entry(bytes: [0xC3], logProbability: -1)
    let score = ScoredToken(chosen: entry, best: [entry, entry])
    var chat = try writer(#", "logprobs": true, "top_logprobs": 2"#)
    _ = try chat.bytes(for: .piece(choice: 0, AnswerPiece(text: "", score: score)))
    _ = try chat.bytes(for: .ended(choice: 0, ended(1)))
    let choice = try JSONValue(parsing: chat.end())["choices"]?.arrayValue?.first
    let one = choice?["logprobs"]?["content"]?.arrayValue?.first
    #expect(one?["token"] == "\u{FFFD}" && one?["bytes"] == [195])
    #expect(one?["top_logprobs"]?.arrayValue?.count == 2)
    var text = try writer(#", "logprobs": 2"#, .text)
    for _ in 0..<2 {
      _ = try text.bytes(for: .piece(choice: 0, AnswerPiece(text: "", score: score)))
    }
    _ = try text.bytes(for: .ended(choice: 0, ended(2)))
    let two = try JSONValue(parsing: text.end())["choices"]?.arrayValue?.first?["logprobs"]
    #expect(two?["text_offset"] == [0, 1] && two?["token_logprobs"] == [-1.0, -1.0])
    // Tokens that look alike are one member: JSON keys are distinct.
    #expect(two?["top_logprobs"]?.arrayValue?.first?.objectMembers?.count == 1)
  }

  @Test func callsOfToolsAreTakenOut() throws {
    let call = #"Well. <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>"#
    let more = #", "tools": [\#(Self.tool)]"#
    let whole = try JSONValue(parsing: try written(try writer(more), call.map(String.init)))
    let choice = whole["choices"]?.arrayValue?.first
    #expect(choice?["finish_reason"] == "tool_calls")
    #expect(choice?["message"]?["content"] == "Well.")
    let function = choice?["message"]?["tool_calls"]?.arrayValue?.first?["function"]
    #expect(function?["name"] == "f" && function?["arguments"] == #"{"a": 1}"#)
    let stream = try written(try writer(more + #", "stream": true"#), [call])
    let deltas = try events(stream).compactMap { $0["choices"]?.arrayValue?.first?["delta"] }
    #expect(deltas.compactMap { $0["tool_calls"] }.count == 1)
    // Without tools it is text.
    let plain = try JSONValue(parsing: try written(try writer(""), [call]))
    #expect(plain["choices"]?.arrayValue?.first?["message"]?["content"] == .string(call))
  }
}

@Suite struct ToolCallFinderTests {
  private static let one = #"<tool_call>{"name":"f","arguments":{}}</tool_call>"#
  private static let call = ToolCallFinder.Part.call(ToolCall(name: "f", arguments: "{}"))

  /// Every cut of the text into pieces gives the same.
  @Test(arguments: [
    ("plain <tool text", [.text("plain <tool text")]), (one, [call]),
    ("\n\(one)\n\n\(one)\n", [call, call]), ("a \(one) b", [.text("a"), call, .text(" b")]),
    ("<tool_call>no</tool_call>", [.text("<tool_call>no</tool_call>")]),
    ("x <tool_call>{", [.text("x"), .text(" <tool_call>{")]), (" ", [.text(" ")]), ("", []),
    ("<<tool_call>\(one)", [.text("<"), .text("<tool_call>\(one)")]),
  ] as [(String, [ToolCallFinder.Part])])
  func partsDoNotDependOnPieces(text: String, expected: [ToolCallFinder.Part]) {
    for size in 1...max(1, text.count) {
      var finder = ToolCallFinder()
      var parts: [ToolCallFinder.Part] = []
      var rest = text[...]
      while !rest.isEmpty {
        parts += finder.append(String(rest.prefix(size)))
        rest = rest.dropFirst(size)
      }
      parts += finder.finish()
      #expect(Self.joined(parts) == Self.joined(expected), "\(size)")
    }
  }

  private static func joined(_ parts: [ToolCallFinder.Part]) -> [ToolCallFinder.Part] {
    parts.reduce(into: []) { joined, part in
      if case .text(let more) = part, case .text(let text)? = joined.last {
        joined[joined.count - 1] = .text(text + more)
      } else {
        joined.append(part)
      }
    }
  }
}
