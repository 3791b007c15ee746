// HTTP for as long as the command runs. The library that speaks it is used here and in
// LocalServer+Exchange.swift alone.
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
  private let host: String
  private let port: UInt16
  private let answer: @Sendable (LocalRequest) async -> LocalAnswer

  /// Between two looks at whether the end is asked for.
  private static let pause = Duration.milliseconds(100)

  /// - Parameters:
  ///   - host: an address of this machine; others than loopback are open to the network.
  ///   - port: 0 takes any that is free.
  package init(
    host: String = "127.0.0.1", port: UInt16,
    answer: @escaping @Sendable (LocalRequest) async -> LocalAnswer
  ) {
    self.host = host == "localhost" ? "127.0.0.1" : host
    self.port = port
    self.answer = answer
  }

  /// Whether an address leads nowhere but to this machine.
  package static func isLoopback(_ host: String) -> Bool {
    host == "localhost" || host == "::1" || host.hasPrefix("127.")
  }

  private final class Ending: Sendable {
    let problem = Mutex<Diagnostic?>(nil)
    let hasCome = Mutex(false)
    let isReached = DispatchSemaphore(value: 0)
  }

  /// Serves until `isAsked` is true.
  ///
  /// - Parameters:
  ///   - ready: is told the port, once requests are answered.
  ///   - work: what this thread does meanwhile; it returns soon after its argument says that the
  ///     server has come to its end.
  /// - Throws: `portUnusable`.
  package func run(
    ready: @escaping @Sendable (UInt16) -> Void, until isAsked: @escaping @Sendable () -> Bool,
    meanwhile work: (_ isOver: @escaping @Sendable () -> Bool) -> Void = { _ in }
  ) throws(Diagnostic) {
    let ending = Ending()
    // Commands are synchronous; only those that serve have something to wait for.
    Task {
      let problem = await serve(ready, isAsked)
      ending.problem.withLock { $0 = problem }
      ending.hasCome.withLock { $0 = true }
      ending.isReached.signal()
    }
    work { ending.hasCome.withLock { $0 } }
    ending.isReached.wait()
    if let problem = ending.problem.withLock({ $0 }) { throw problem }
  }

  private func serve(
    _ ready: @Sendable (UInt16) -> Void, _ isAsked: @Sendable () -> Bool
  ) async -> Diagnostic? {
    guard let server = server() else { return unusable }
    await server.appendRoute("*") { request in
      let asked = await Self.request(request)
      return Self.response(await answer(asked), to: asked)
    }
    let running = Task { try await server.run() }
    do {
      try await server.waitUntilListening()
    } catch {
      running.cancel()
      return unusable
    }
    switch await server.listeningAddress {
    case .ip4(_, let port)?, .ip6(_, let port)?: ready(port)
    default: break
    }
    while !isAsked() { try? await Task.sleep(for: Self.pause) }
    await server.stop()
    running.cancel()
    return nil
  }

  private func server() -> HTTPServer? {
    if let address = try? sockaddr_in.inet(ip4: host, port: port) {
      return HTTPServer(config: Self.configuration(address))
    }
    if let address = try? sockaddr_in6.inet6(ip6: host, port: port) {
      return HTTPServer(config: Self.configuration(address))
    }
    return nil
  }

  private static func configuration(_ address: some SocketAddress) -> HTTPServer.Configuration {
    // Bodies are read, or passed over, before anything is answered, which has a limit of its own;
    // nothing is kept to be read twice.
    let bufferBytes = 4096
    return HTTPServer.Configuration(
      address: address, timeout: 2 * longestWait, sharedRequestBufferSize: bufferBytes,
      sharedRequestReplaySize: bufferBytes, logger: .disabled)
  }

  private var unusable: Diagnostic {
    Diagnostic(
      .portUnusable, "nothing can be served at port \(port) of \(host)",
      remedy: "choose another with --port, or 0 for any that is free")
  }
}
