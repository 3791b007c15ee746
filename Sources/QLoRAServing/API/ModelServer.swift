// What `qlora serve` answers: OpenAI's interface for a base model and its adapters. Requests are
// checked where they come in; one thread computes, one answer at a time.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline

package struct ModelServer: Sendable {
  private let text: ServedText
  private let queue: JobQueue
  /// What a request must carry; nil: nothing.
  private let key: String?
  /// Whether only requests that name this machine are answered.
  private let isLocal: Bool
  private let started = Int(Date().timeIntervalSince1970)

  package init(_ text: ServedText, queue: JobQueue, key: String?, isLocal: Bool) {
    self.text = text
    self.queue = queue
    self.key = key
    self.isLocal = isLocal
  }

  /// Computes what is in the queue until the server ends.
  ///
  /// - Throws: why the model's device computes nothing any more; whoever waits has been told.
  package func work(with model: SwitchedModel, until isOver: () -> Bool) throws {
    let patience = 100
    while !isOver() {
      guard let job = queue.next(withinMilliseconds: patience) else { continue }
      job.perform(with: model, isOver)
      do {
        try model.checkHealth()
      } catch {
        queue.close("\(error)")
        throw error
      }
    }
  }

  package func answer(_ request: LocalRequest) -> LocalAnswer {
    do throws(APIError) {
      return try answerOrRefuse(request)
    } catch {
      return .whole(error.response)
    }
  }

  private func answerOrRefuse(_ request: LocalRequest) throws(APIError) -> LocalAnswer {
    if isLocal, !request.isLocal {
      throw APIError("This server is for this machine alone.", status: 403)
    }
    if request.path == "/health" {
      try require("GET", request)
      if queue.closed != nil { throw refusal }
      return .whole(LocalResponse(json: .dictionary([("status", "ok")])))
    }
    try checkKey(request)
    switch request.path {
    case "/v1/chat/completions": return try complete(request, .chat)
    case "/v1/completions": return try complete(request, .text)
    case "/v1/models":
      try require("GET", request)
      let list = JSONValue.list(text.names.map(describe))
      return .whole(LocalResponse(json: .dictionary([("object", "list"), ("data", list)])))
    default: return try model(request)
    }
  }

  private func model(_ request: LocalRequest) throws(APIError) -> LocalAnswer {
    let prefix = "/v1/models/"
    let name = request.path.dropFirst(prefix.count).removingPercentEncoding
    guard request.path.hasPrefix(prefix), let name, text.names.contains(name) else {
      throw APIError(
        "There is nothing at \(request.path.prefix(80)).", status: 404, code: "not_found")
    }
    try require("GET", request)
    return .whole(LocalResponse(json: describe(name)))
  }

  private func describe(_ name: String) -> JSONValue {
    .dictionary([
      ("id", .string(name)), ("object", "model"), ("created", .int(started)),
      ("owned_by", "qlora"),
    ])
  }

  private func complete(
    _ request: LocalRequest, _ endpoint: CompletionRequest.Endpoint
  ) throws(APIError) -> LocalAnswer {
    try require("POST", request)
    let wanted = try CompletionRequest(try body(request), endpoint)
    let prompts = try text.prompts(of: wanted)
    let (job, events) = AnswerJob.make(wanted, prompts)
    guard queue.add(job) else { throw refusal }
    let name = UUID().uuidString.filter { $0 != "-" }.lowercased()
    let writer = ResponseWriter(
      wanted, promptTokens: prompts.map(\.count),
      id: (endpoint == .chat ? "chatcmpl-" : "cmpl-") + name,
      created: Int(Date().timeIntervalSince1970))
    return .pieces(type: writer.contentType, ResponsePieces(events, writer))
  }

  /// Why the queue takes nothing.
  private var refusal: APIError {
    if let reason = queue.closed {
      return APIError("The server ends: \(reason)", status: 503, code: "unavailable")
    }
    return APIError(
      "Too many requests are waiting; try again later.", status: 429, code: "queue_full")
  }

  private func body(_ request: LocalRequest) throws(APIError) -> [UInt8] {
    switch request.body {
    case .tooLong:
      let limit = LocalServer.longestBody >> 20
      throw APIError("The body is longer than \(limit) MiB.", status: 413, code: "too_large")
    case .incomplete: throw APIError("The body did not come whole, or in time.", status: 408)
    case .bytes(let bytes):
      // A page of a browser can send other types anywhere without asking first.
      let type = request.contentType?.lowercased() ?? ""
      guard type.split(separator: ";").first?.trimmingCharacters(in: .whitespaces)
        == "application/json"
      else { throw APIError("The Content-Type must be application/json.", status: 415) }
      return bytes
    }
  }

  private func require(_ method: String, _ request: LocalRequest) throws(APIError) {
    guard request.method == method || (method == "GET" && request.method == "HEAD") else {
      throw APIError("\(request.path) takes \(method).", status: 405, code: "method_not_allowed")
    }
  }

  private func checkKey(_ request: LocalRequest) throws(APIError) {
    guard let key else { return }
    let scheme = "bearer "
    let given = request.authorization ?? ""
    let found = Array(given.dropFirst(scheme.count).utf8)
    let wanted = Array(key.utf8)
    // Takes as long wherever the first difference is.
    var difference = found.count ^ wanted.count
    for (index, byte) in wanted.enumerated() {
      difference |= Int(byte ^ (index < found.count ? found[index] : 0))
    }
    guard given.lowercased().hasPrefix(scheme), difference == 0 else {
      throw APIError(
        "The API key is missing or wrong.", status: 401, code: "invalid_api_key")
    }
  }
}
