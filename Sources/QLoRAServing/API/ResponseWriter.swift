// An answer in the making, as bytes: events of a stream, or one object at the end.
import QLoRAJSON
import QLoRAPipeline

package struct ResponseWriter: Sendable {
  /// What is known of one answer so far.
  struct Choice: Sendable {
    var content = ""
    var calls: [ToolCall] = []
    var scores: [ScoredToken] = []
    /// nil until it has ended.
    var finishReason: String?
    var hasBegun = false
    fileprivate var finder: ToolCallFinder?
  }

  /// What is new of an answer, which a stream passes on.
  enum Change {
    case text(String, ScoredToken?)
    case call(ToolCall, index: Int)
    case end(String)
  }

  let request: CompletionRequest
  let id: String
  /// Seconds since 1970.
  let created: Int
  private(set) var choices: [Choice]
  private let promptTokens: Int
  private var completionTokens = 0
  private var reusedTokens = 0

  /// - Parameter created: in seconds since 1970.
  package init(_ request: CompletionRequest, promptTokens: [Int], id: String, created: Int) {
    self.request = request
    self.id = id
    self.created = created
    self.promptTokens = promptTokens.reduce(0, +)
    var choice = Choice()
    if case .conversation(_, .some) = request.input { choice.finder = ToolCallFinder() }
    choices = Array(repeating: choice, count: promptTokens.count * request.choices)
  }

  package var contentType: String {
    request.streams ? "text/event-stream; charset=utf-8" : "application/json"
  }

  /// What is to be written after an event; perhaps nothing.
  ///
  /// - Throws: where the answer failed and its object has not begun.
  package mutating func bytes(for event: AnswerEvent) throws -> [UInt8] {
    switch event {
    // A comment in a stream, and space before an object, mean nothing to those who read them.
    case .waiting: return Array((request.streams ? ": \n\n" : " ").utf8)
    case .failed(let message):
      let failure = APIError(message, status: 500)
      guard request.streams else { throw failure }
      return Self.event(failure.json)
    case .piece(let index, let piece): return add(piece, to: index)
    case .ended(let index, let answer): return end(index, answer)
    }
  }

  /// What is to be written when there are no more events.
  ///
  /// - Throws: where answers are missing.
  package func end() throws -> [UInt8] {
    guard choices.allSatisfy({ $0.finishReason != nil }) else {
      throw APIError("The answer was broken off.", status: 503)
    }
    guard request.streams else { return Array((JSONWriter.text(whole(usage)) + "\n").utf8) }
    let done = Array("data: [DONE]\n\n".utf8)
    return request.includesUsage ? Self.event(chunk([], usage: usage)) + done : done
  }

  private mutating func add(_ piece: AnswerPiece, to index: Int) -> [UInt8] {
    if let score = piece.score { choices[index].scores.append(score) }
    let parts = choices[index].finder?.append(piece.text) ?? [.text(piece.text)]
    return add(parts, piece.score, to: index)
  }

  private mutating func end(_ index: Int, _ answer: Answer) -> [UInt8] {
    completionTokens += answer.generatedTokens
    reusedTokens += answer.reusedTokens
    var bytes = add(choices[index].finder?.finish() ?? [], nil, to: index)
    let reason = choices[index].calls.isEmpty ? answer.finishReason.rawValue : "tool_calls"
    choices[index].finishReason = reason
    bytes += written(.end(reason), index)
    return bytes
  }

  private mutating func add(
    _ parts: [ToolCallFinder.Part], _ score: ScoredToken?, to index: Int
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    var score = score
    for part in parts {
      switch part {
      case .text(let text):
        choices[index].content += text
        bytes += written(.text(text, score), index)
        score = nil
      case .call(let call):
        choices[index].calls.append(call)
        bytes += written(.call(call, index: choices[index].calls.count - 1), index)
      }
    }
    // A token that has completed no text yet has a score all the same.
    if let score { bytes += written(.text("", score), index) }
    return bytes
  }

  private mutating func written(_ change: Change, _ index: Int) -> [UInt8] {
    guard request.streams else { return [] }
    var bytes: [UInt8] = []
    if !choices[index].hasBegun, request.endpoint == .chat {
      bytes += Self.event(chunk([beginning(index)], usage: nil))
    }
    choices[index].hasBegun = true
    return bytes + Self.event(chunk([piece(change, index)], usage: nil))
  }

  /// A server-sent event. JSON has no raw line feed, so one line is enough.
  static func event(_ value: JSONValue) -> [UInt8] {
    Array("data: \(JSONWriter.text(value))\n\n".utf8)
  }

  private var usage: JSONValue {
    .dictionary([
      ("prompt_tokens", .int(promptTokens)), ("completion_tokens", .int(completionTokens)),
      ("total_tokens", .int(promptTokens + completionTokens)),
      ("prompt_tokens_details", .dictionary([("cached_tokens", .int(reusedTokens))])),
    ])
  }
}

/// The bytes of a response, made from the events as they come.
package struct ResponsePieces: AsyncSequence, Sendable {
  package typealias Element = [UInt8]
  package typealias Failure = any Error

  let events: AsyncStream<AnswerEvent>
  let writer: ResponseWriter

  package init(_ events: AsyncStream<AnswerEvent>, _ writer: ResponseWriter) {
    self.events = events
    self.writer = writer
  }

  package func makeAsyncIterator() -> Iterator {
    Iterator(events: events.makeAsyncIterator(), writer: writer)
  }

  package struct Iterator: AsyncIteratorProtocol {
    var events: AsyncStream<AnswerEvent>.Iterator
    var writer: ResponseWriter
    private var isOver = false

    init(events: AsyncStream<AnswerEvent>.Iterator, writer: ResponseWriter) {
      self.events = events
      self.writer = writer
    }

    package mutating func next() async throws -> [UInt8]? {
      while !isOver {
        guard let event = await events.next() else {
          isOver = true
          return try writer.end()
        }
        let bytes = try writer.bytes(for: event)
        if !bytes.isEmpty { return bytes }
      }
      return nil
    }
  }
}
