// Who is answered and what, without a socket and once with one; and the queue behind.
import Foundation
import QLoRAJSON
import QLoRAPipeline
import QLoRAServing
import QLoRAText
import Synchronization
import TestSupport
import Testing

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

@Suite struct ModelServerTests {
  private static let body = #"{"model": "tiny", "messages": [{"role": "user", "content": "on"}]}"#

  private func server(
    key: String? = nil, capacity: Int = 2, room: Int? = nil
  ) throws -> ModelServer {
    let tokenizer = try Tokenizer.load(folder: Goldens.path("tiny-chat"))
    let template = try ChatTemplate(
      source: tokenizer.chatTemplateSource ?? "", bosToken: "", eosToken: "")
    return ModelServer(
      ServedText(
        names: ["tiny", "a/b"], tokenizer: tokenizer, template: template, positions: 64,
        room: room),
      queue: JobQueue(capacity: capacity), key: key, isLocal: true)
  }

  private func post(
    _ body: String, path: String = "/v1/chat/completions", type: String? = "application/json"
  ) -> LocalRequest {
    LocalRequest(
      method: "POST", path: path, contentType: type, body: .bytes(Array(body.utf8)))
  }

  /// 200 also for an answer that is going to come.
  private func status(_ server: ModelServer, _ request: LocalRequest) throws -> Int {
    guard case .whole(let response) = server.answer(request) else { return 200 }
    if response.status != 200 {
      #expect(try JSONValue(parsing: response.body)["error"]?["message"]?.stringValue != nil)
    }
    return response.status
  }

  @Test func everyRefusalHasItsStatus() throws {
    let server = try server()
    #expect(try status(server, LocalRequest(path: "/health")) == 200)
    #expect(try status(server, LocalRequest(path: "/v1/models")) == 200)
    #expect(try status(server, LocalRequest(path: "/v1/models/tiny")) == 200)
    #expect(try status(server, LocalRequest(path: "/v1/models/a%2Fb")) == 200)
    #expect(try status(server, LocalRequest(path: "/v1/models/other")) == 404)
    #expect(try status(server, LocalRequest(path: "/nowhere")) == 404)
    #expect(try status(server, LocalRequest(path: "/health", host: "evil.example")) == 403)
    #expect(try status(server, LocalRequest(path: "/v1/chat/completions")) == 405)
    #expect(try status(server, post("{}", path: "/v1/models")) == 405)
    #expect(try status(server, post(Self.body, type: "text/plain")) == 415)
    #expect(try status(server, post(Self.body, type: nil)) == 415)
    #expect(try status(server, post("{")) == 400)
    #expect(try status(server, post(Self.body.replacing("tiny", with: "none"))) == 404)
    #expect(try status(server, post(Self.body, type: "Application/JSON; charset=utf-8")) == 200)
    var request = post("")
    request.body = .tooLong
    #expect(try status(server, request) == 413)
    request.body = .incomplete
    #expect(try status(server, request) == 408)
  }

  @Test func promptsMustSuitTheModel() throws {
    let server = try server()
    let long = "\"\(String(repeating: "a b ", count: 99))\""
    for prompt in ["\"\"", "[320]", "[-1]", "[99999999999]", long] {
      let request = post(#"{"model": "tiny", "prompt": \#(prompt)}"#, path: "/v1/completions")
      #expect(try status(server, request) == 400, "\(prompt)")
    }
  }

  @Test(arguments: [(nil, 200), (3, 200), (2, 400)])
  func promptsMustHaveRoom(room: Int?, expected: Int) throws {
    let request = post(#"{"model": "tiny", "prompt": [5, 6, 7]}"#, path: "/v1/completions")
    #expect(try status(try server(room: room), request) == expected)
  }

  @Test(arguments: [
    (nil, 401), ("Bearer secret", 200), ("bearer secret", 200), ("Bearer secre", 401),
    ("Bearer secrets", 401), ("secret", 401), ("Bearer ", 401),
  ])
  func keysAreCompared(authorization: String?, expected: Int) throws {
    let server = try server(key: "secret")
    var request = LocalRequest(path: "/v1/models")
    request.authorization = authorization
    #expect(try status(server, request) == expected)
    #expect(try status(server, LocalRequest(path: "/health")) == 200)
  }

  @Test func aFullQueueRefuses() throws {
    let server = try server(capacity: 2)
    let answers = (0..<2).map { _ in server.answer(post(Self.body)) }
    #expect(try status(server, post(Self.body)) == 429)
    // Whoever goes away leaves a place.
    withExtendedLifetime(answers) {}
  }

  private func job() throws -> (job: AnswerJob, events: AsyncStream<AnswerEvent>) {
    AnswerJob.make(try CompletionRequest(Array(Self.body.utf8), .chat), [[1]])
  }

  @Test func theQueueKeepsItsOrderAndForgetsTheGone() throws {
    let queue = JobQueue(capacity: 2)
    #expect(queue.next(withinMilliseconds: 1) == nil)
    let first = try job()
    var second: (job: AnswerJob, events: AsyncStream<AnswerEvent>)? = try job()
    #expect(queue.add(first.job))
    if let second { #expect(queue.add(second.job)) }
    let third = try job()
    #expect(!queue.add(third.job))
    second = nil
    #expect(queue.add(third.job))
    #expect(queue.next(withinMilliseconds: 1) === first.job)
    #expect(queue.next(withinMilliseconds: 1) === third.job)
    #expect(queue.next(withinMilliseconds: 1) == nil)
    withExtendedLifetime((first.events, third.events)) {}
  }

  @Test func aClosedQueueTellsThoseThatWait() async throws {
    let queue = JobQueue(capacity: 2)
    let (job, events) = try job()
    #expect(queue.add(job))
    queue.close("the device is lost")
    #expect(try !queue.add(self.job().job) && queue.closed == "the device is lost")
    #expect(queue.next(withinMilliseconds: 1) == nil)
    var said: [String] = []
    for await event in events { if case .failed(let message) = event { said.append(message) } }
    #expect(said == ["the device is lost"])
  }

  private struct NoDevice: Error {}

  @Test func workThatFailsEndsTheServer() throws {
    let server = LocalServer(port: 0) { _ in .whole(.failure(503, "")) }
    #expect(throws: NoDevice.self) {
      try server.run(ready: { _ in }, until: { false }, meanwhile: { _ in throw NoDevice() })
    }
  }

  @Test func answersComeOverASocket() async throws {
    let folder = try TemporaryFolder()
    for name in ["tiny-llama/config.json", "tiny-llama/model.safetensors",
      "tiny-chat/tokenizer.json", "tiny-chat/tokenizer_config.json"]
    {
      let last = String(name.split(separator: "/")[1])
      try FileManager.default.copyItem(
        atPath: Goldens.path(name), toPath: folder.path(last))
    }
    let port = Mutex<UInt16?>(nil)
    let isAsked = Mutex(false)
    let isOver = Mutex(false)
    // The model belongs to the thread that computes.
    Thread.detachNewThread { [path = folder.path("")] in
      defer { isOver.withLock { $0 = true } }
      guard
        let model = try? Pipeline.loadSwitched(
          BaseOptions(
            model: path, adapter: nil, quantization: nil, computeDType: nil, threads: 1), [])
      else { return }
      let server = ModelServer(
        ServedText(
          names: ["tiny"], tokenizer: model.loaded.text.tokenizer,
          template: model.loaded.text.template, positions: 256),
        queue: JobQueue(capacity: 4), key: nil, isLocal: true)
      try? LocalServer(port: 0, answer: server.answer).run(
        ready: { found in port.withLock { $0 = found } }, until: { isAsked.withLock { $0 } },
        meanwhile: { try server.work(with: model, until: $0) })
    }
    while port.withLock({ $0 == nil }), isOver.withLock({ !$0 }) {
      try await Task.sleep(for: .milliseconds(5))
    }
    let found = try #require(port.withLock { $0 })
    var request = URLRequest(
      url: try #require(URL(string: "http://127.0.0.1:\(found)/v1/chat/completions")))
    request.httpMethod = "POST"
    request.setValue("application/json", forHTTPHeaderField: "Content-Type")
    let body = String(Self.body.dropLast()) + #", "max_tokens": 3"#
    request.httpBody = Data((body + "}").utf8)
    let (data, response) = try await URLSession.shared.data(for: request)
    #expect((response as? HTTPURLResponse)?.statusCode == 200)
    let answer = try JSONValue(parsing: data)
    #expect(answer["choices"]?.arrayValue?.count == 1)
    request.httpBody = Data((body + #", "stream": true}"#).utf8)
    let (stream, _) = try await URLSession.shared.data(for: request)
    #expect(String(decoding: stream, as: UTF8.self).hasSuffix("data: [DONE]\n\n"))
    isAsked.withLock { $0 = true }
    while isOver.withLock({ !$0 }) { try await Task.sleep(for: .milliseconds(5)) }
  }
}
