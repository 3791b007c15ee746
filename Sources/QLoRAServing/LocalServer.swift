// HTTP on 127.0.0.1 for as long as the command runs. The library that speaks it is used here alone.
import Dispatch
import FlyingFox
import FlyingSocks
import Foundation
import QLoRADiagnostics
import Synchronization

extension DiagnosticCode {
  package static let portUnusable = DiagnosticCode(
    "E0910", .outputExists,
    """
    Nothing can be served at this port: another program holds it, or the system keeps it for \
    itself. Choose another with --port, or 0 for any that is free.
    """)
}

package struct LocalServer: Sendable {
  private let port: UInt16
  private let answer: @Sendable (LocalRequest) -> LocalResponse

  /// Between two looks at whether the end is asked for.
  private static let pause = Duration.milliseconds(100)

  /// - Parameter port: 0 takes any that is free.
  package init(port: UInt16, answer: @escaping @Sendable (LocalRequest) -> LocalResponse) {
    self.port = port
    self.answer = answer
  }

  private final class Ending: Sendable {
    let problem = Mutex<Diagnostic?>(nil)
    let isReached = DispatchSemaphore(value: 0)
  }

  /// Serves until `isAsked` is true.
  ///
  /// - Parameter ready: is told the port, once requests are answered.
  /// - Throws: `portUnusable`.
  package func run(
    ready: @escaping @Sendable (UInt16) -> Void, until isAsked: @escaping @Sendable () -> Bool
  ) throws(Diagnostic) {
    let ending = Ending()
    // Commands are synchronous; this one alone has something to wait for.
    Task {
      let problem = await serve(ready, isAsked)
      ending.problem.withLock { $0 = problem }
      ending.isReached.signal()
    }
    ending.isReached.wait()
    if let problem = ending.problem.withLock({ $0 }) { throw problem }
  }

  private func serve(
    _ ready: @Sendable (UInt16) -> Void, _ isAsked: @Sendable () -> Bool
  ) async -> Diagnostic? {
    guard let address = try? sockaddr_in.inet(ip4: "127.0.0.1", port: port) else { return nil }
    let server = HTTPServer(address: address, logger: .disabled)
    await server.appendRoute("*") { request in
      let asked = LocalRequest(
        method: request.method.rawValue, path: request.path,
        host: request.headers[HTTPHeader("Host")])
      return Self.response(answer(asked), to: asked)
    }
    let running = Task { try await server.run() }
    do {
      try await server.waitUntilListening()
    } catch {
      running.cancel()
      return Diagnostic(
        .portUnusable, "nothing can be served at port \(port) of 127.0.0.1",
        remedy: "choose another with --port, or 0 for any that is free")
    }
    if case .ip4(_, let port)? = await server.listeningAddress { ready(port) }
    while !isAsked() { try? await Task.sleep(for: Self.pause) }
    await server.stop()
    running.cancel()
    return nil
  }

  private static func response(
    _ answer: LocalResponse, to request: LocalRequest
  ) -> HTTPResponse {
    HTTPResponse(
      statusCode: HTTPStatusCode(answer.status, phrase: ""),
      headers: [
        HTTPHeader("Content-Type"): answer.type, HTTPHeader("Cache-Control"): "no-store",
        HTTPHeader("X-Content-Type-Options"): "nosniff", HTTPHeader("X-Frame-Options"): "DENY",
      ], body: request.method == "HEAD" ? Data() : Data(answer.body))
  }
}
