// HTTP for as long as the command runs. Sockets are FlyingSocks', used here and in
// LocalConnection.swift alone; why the rest is ours: Docs/Decisions/0011.
import Dispatch
import FlyingSocks
import QLoRADiagnostics
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension DiagnosticCode {
  package static let portUnusable = DiagnosticCode(
    "E0910", .outputExists,
    """
    Nothing can be served at this port: another program holds it, or the system keeps it for \
    itself. Choose another with --port, or 0 for any that is free.
    """)
}

package struct LocalServer: Sendable {
  package static let longestBody = 8 << 20
  /// Connections at once; whoever comes then is told to come again.
  static let mostConnections = 256

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
    /// Whether the work has failed.
    let isNear = Mutex(false)
    let isReached = DispatchSemaphore(value: 0)
  }

  /// Serves until `isAsked` is true.
  ///
  /// - Parameters:
  ///   - ready: is told the port, once requests are answered.
  ///   - work: what this thread does meanwhile; it returns soon after its argument says that the
  ///     server has come to its end. Where it throws, the server ends, too.
  /// - Throws: `portUnusable`, and what the work throws.
  package func run(
    ready: @escaping @Sendable (UInt16) -> Void, until isAsked: @escaping @Sendable () -> Bool,
    meanwhile work: (_ isOver: @escaping @Sendable () -> Bool) throws -> Void = { _ in }
  ) throws {
    let ending = Ending()
    // Commands are synchronous; only those that serve have something to wait for.
    Task {
      let problem = await serve(ready) { isAsked() || ending.isNear.withLock { $0 } }
      ending.problem.withLock { $0 = problem }
      ending.hasCome.withLock { $0 = true }
      ending.isReached.signal()
    }
    let result = Result { try work { ending.hasCome.withLock { $0 } } }
    if case .failure = result { ending.isNear.withLock { $0 = true } }
    ending.isReached.wait()
    try result.get()
    if let problem = ending.problem.withLock({ $0 }) { throw problem }
  }

  private func serve(
    _ ready: @Sendable (UInt16) -> Void, _ isAsked: @Sendable () -> Bool
  ) async -> Diagnostic? {
    let pool = LocalServer.pool()
    guard let socket = try? await listen(pool), let port = Self.port(of: socket.socket) else {
      return unusable
    }
    await withDiscardingTaskGroup { group in
      group.addTask { try? await pool.run() }
      group.addTask { await accept(socket) }
      ready(port)
      // The last pause is for answers that are on their way.
      repeat { try? await Task.sleep(for: Self.pause) } while !isAsked()
      group.cancelAll()
    }
    try? socket.close()
    return nil
  }

  /// Serves whoever connects, until it is cancelled.
  private func accept(_ listening: AsyncSocket) async {
    let open = OpenConnections()
    await withDiscardingTaskGroup { group in
      while !Task.isCancelled {
        guard let socket = try? await listening.accept() else {
          // No descriptor is free, or the other side left at once.
          try? await Task.sleep(for: Self.pause)
          continue
        }
        let connection = LocalConnection(socket: socket, answer: answer)
        let number = open.count.withLock { count in
          count += 1
          return count
        }
        group.addTask {
          if number <= Self.mostConnections {
            await connection.serve()
          } else {
            await connection.refuse(.failure(503, "too many connections"))
          }
          open.count.withLock { $0 -= 1 }
        }
      }
      group.cancelAll()
    }
  }

  private final class OpenConnections: Sendable {
    let count = Mutex(0)
  }

  private static func pool() -> some AsyncSocketPool { SocketPool.make() }

  /// - Throws: where the address is not one of this machine, or is taken.
  private func listen(_ pool: some AsyncSocketPool) async throws -> AsyncSocket {
    try await pool.prepare()
    let socket: Socket
    if let address = try? sockaddr_in.inet(ip4: host, port: port) {
      socket = try Self.bound(to: address)
    } else {
      socket = try Self.bound(to: sockaddr_in6.inet6(ip6: host, port: port))
    }
    return try AsyncSocket(socket: socket, pool: pool)
  }

  private static func bound(to address: some SocketAddress) throws -> Socket {
    let socket = try Socket(domain: Int32(type(of: address).family))
    try socket.setValue(true, for: .localAddressReuse)
    try socket.bind(to: address)
    try socket.listen()
    return socket
  }

  private static func port(of socket: Socket) -> UInt16? {
    switch try? socket.sockname() {
    case .ip4(_, let port)?, .ip6(_, let port)?: port
    default: nil
    }
  }

  private var unusable: Diagnostic {
    Diagnostic(
      .portUnusable, "nothing can be served at port \(port) of \(host)",
      remedy: "choose another with --port, or 0 for any that is free")
  }
}
