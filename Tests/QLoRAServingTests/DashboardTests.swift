// What the dashboard answers, without a socket and once with one.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAServing
import Synchronization
import TestSupport
import Testing

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

@Suite struct DashboardTests {
  /// A folder that looks like an interrupted run of two steps.
  private func run() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try write("recipe.resolved.json", #"{"name": "<b>run</b>", "training": {"steps": 4}}"#, folder)
    try write("metrics.jsonl", "{\"step\": 1, \"loss\": 3}\n{\"step\": 2, \"loss\": 2}\n", folder)
    return folder
  }

  private func write(_ name: String, _ text: String, _ folder: TemporaryFolder) throws {
    try Data(text.utf8).write(to: folder.url.appending(path: name))
  }

  private func text(_ response: LocalResponse) -> String {
    String(decoding: response.body, as: UTF8.self)
  }

  @Test func pagesComeFromTheFolder() throws {
    let folder = try run()
    let dashboard = Dashboard(folder.url.path)
    let page = dashboard.answer(LocalRequest(path: "/"))
    #expect(page.status == 200 && page.type.hasPrefix("text/html"))
    #expect(text(page).contains("&lt;b&gt;run&lt;/b&gt;") && !text(page).contains("<b>run"))
    #expect(text(page).contains("2 of 4"))
    #expect(text(dashboard.answer(LocalRequest(path: "/sections"))).contains("class=\"chart\""))
    #expect(text(dashboard.answer(LocalRequest(path: "/loss.svg"))).hasPrefix("<svg"))
    #expect(dashboard.answer(LocalRequest(path: "/../etc/passwd")).status == 404)
  }

  @Test func theVersionChangesWithTheRun() throws {
    let folder = try run()
    let dashboard = Dashboard(folder.url.path)
    func version() throws -> String? {
      let body = dashboard.answer(LocalRequest(path: "/state")).body
      return try JSONValue(parsing: body)["version"]?.stringValue
    }
    let before = try #require(try version())
    #expect(try version() == before)
    try write("metrics.jsonl", "{\"step\": 1, \"loss\": 3}\n", folder)
    #expect(try version() != before)
  }

  @Test(arguments: [
    ("127.0.0.1", true), ("127.0.0.1:8090", true), ("localhost:1", true), ("[::1]:80", true),
    ("evil.example", false), ("localhost.evil.example", false), ("127.0.0.1.evil:80", false),
    ("localhost:80evil", false), ("", false),
  ])
  func onlyThisMachineIsAnswered(host: String, isAnswered: Bool) throws {
    let dashboard = Dashboard(try run().url.path)
    let response = dashboard.answer(LocalRequest(path: "/state", host: host))
    #expect((response.status == 403) == !isAnswered)
    #expect(isAnswered || !text(response).contains("version"))
  }

  @Test func nothingCanBeChanged() throws {
    let dashboard = Dashboard(try run().url.path)
    #expect(dashboard.answer(LocalRequest(path: "/", host: nil)).status == 403)
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
      #expect(dashboard.answer(LocalRequest(method: method, path: "/")).status == 405)
    }
  }

  /// A server on a thread of its own, which it blocks.
  private final class Served: Sendable {
    let port = Mutex<UInt16?>(nil)
    let isAsked = Mutex(false)
    let isOver = Mutex(false)
    let problem = Mutex<Diagnostic?>(nil)

    init(port: UInt16, _ dashboard: Dashboard) {
      Thread.detachNewThread { [self] in
        do {
          try LocalServer(port: port, answer: { .whole(dashboard.answer($0)) }).run(
            ready: { found in self.port.withLock { $0 = found } },
            until: { self.isAsked.withLock { $0 } })
        } catch {
          problem.withLock { $0 = error as? Diagnostic }
        }
        isOver.withLock { $0 = true }
      }
    }

    /// Waits for the port, or for the end.
    func begun() async throws -> UInt16 {
      while port.withLock({ $0 == nil }), isOver.withLock({ !$0 }) {
        try await Task.sleep(for: .milliseconds(5))
      }
      return port.withLock { $0 ?? 0 }
    }

    func ended() async throws {
      isAsked.withLock { $0 = true }
      while isOver.withLock({ !$0 }) { try await Task.sleep(for: .milliseconds(5)) }
    }
  }

  @Test func servesOverASocketUntilItIsAskedToStop() async throws {
    let folder = try run()
    let dashboard = Dashboard(folder.url.path)
    let served = Served(port: 0, dashboard)
    let port = try await served.begun()
    let url = try #require(URL(string: "http://127.0.0.1:\(port)/sections"))
    let (data, response) = try await URLSession.shared.data(from: url)
    #expect((response as? HTTPURLResponse)?.statusCode == 200)
    #expect(Array(data) == dashboard.answer(LocalRequest(path: "/sections")).body)

    let second = Served(port: port, dashboard)
    #expect(try await second.begun() == 0)
    #expect(second.problem.withLock { $0?.code } == .portUnusable)
    try await served.ended()
  }
}
