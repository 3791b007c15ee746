// Servers that break off, lie, stall and never end: every file is right, or absent with a reason.
import Foundation
import QLoRADiagnostics
import QLoRAHub
import QLoRAJSON
import Synchronization
import TestSupport
import Testing

@Suite(.serialized, .enabled(if: HubClient.libraryName != nil)) struct HostileServerTests {
  private let weights = FakeHub.bytes(2_000_000, seed: 3)

  private func hub(onStore: @escaping FakeHub.Mischief) throws -> FakeHub {
    try FakeHub(large: ["model.safetensors": weights], onStore: onStore)
  }

  private func expectRight(_ hub: FakeHub, sourceLocation: SourceLocation = #_sourceLocation) throws
  {
    _ = try hub.download()
    #expect(hub.content("model.safetensors") == weights, sourceLocation: sourceLocation)
  }

  /// A hundred cuts at random bytes; Scripts/interop/hub_cache.py has more.
  @Test func cutConnectionsGoOnWhereTheyStopped() throws {
    let generator = Mutex(SeededGenerator(seed: 4))
    let cuts = Mutex(100)
    let hub = try hub { _, answer in
      guard
        cuts.withLock({
          $0 -= 1; return $0 >= 0
        })
      else { return nil }
      var cut = answer
      cut.cutAfter = generator.withLock { Int.random(in: 2000...25_000, using: &$0) }
      return cut
    }
    try expectRight(hub)
    #expect(hub.store.requests.count == 101)
    // What was sent is what was needed: at least 95 % of what had come was kept.
    #expect(hub.store.sentBytes <= weights.count + weights.count / 20)
  }

  @Test(arguments: [1_999_999, 2_000_001, 1, 0])
  func wrongLengthsAreRefused(announced: Int) throws {
    let hub = try hub { _, answer in
      var answer = answer
      answer.body = Array((answer.body + [0, 0]).prefix(announced))
      return answer
    }
    #expect(hub.failure() == .hubDamaged)
    #expect(!hub.blobs.contains(FakeHub.hex(weights, length: 64)))
    #expect(hub.content("model.safetensors") == nil)
  }

  @Test func wrongContentIsRefused() throws {
    let hub = try hub { _, answer in
      var answer = answer
      if !answer.body.isEmpty { answer.body[answer.body.count / 2] ^= 1 }
      return answer
    }
    #expect(hub.failure() == .hubDamaged)
    #expect(hub.store.requests.count == 2)
    #expect(!hub.blobs.contains(FakeHub.hex(weights, length: 64)))
  }

  @Test func wrongContentOnceIsFetchedAgain() throws {
    let isFirst = Mutex(true)
    let hub = try hub { _, answer in
      guard
        isFirst.withLock({
          let was = $0; $0 = false; return was
        })
      else { return nil }
      var answer = answer
      answer.body[1000] ^= 1
      return answer
    }
    try expectRight(hub)
  }

  /// A small file's digest is git's.
  @Test func wrongSmallContentIsRefused() throws {
    let hub = try FakeHub(
      small: ["config.json": Array("{}".utf8)],
      onHub: { request, answer in
        guard request.target.hasSuffix("config.json") else { return nil }
        var answer = answer
        answer.body = Array("[]".utf8)
        return answer
      })
    #expect(hub.failure() == .hubDamaged)
  }

  @Test(arguments: [429, 503, 500, 502, 504, 408])
  func whatPassesIsTriedAgain(status: Int) throws {
    let left = Mutex(3)
    let hub = try FakeHub(
      large: ["model.safetensors": weights],
      onHub: { _, _ in
        left.withLock {
          $0 -= 1; return $0 >= 0
        }
          ? ServedAnswer(status: status, fields: ["Retry-After": "0"]) : nil
      })
    try expectRight(hub)
  }

  @Test func whatDoesNotPassIsGivenUp() throws {
    let hub = try hub { _, _ in ServedAnswer(status: 503) }
    #expect(hub.failure() == .hubUnreachable)
    #expect(hub.store.requests.count == RetryPolicy().fruitlessTries)
  }

  @Test func anAskedForPauseIsMade() throws {
    let isFirst = Mutex(true)
    let hub = try hub { _, _ in
      isFirst.withLock({
        let was = $0; $0 = false; return was
      })
        ? ServedAnswer(status: 429, fields: ["Retry-After": "1"]) : nil
    }
    let start = ContinuousClock.now
    try expectRight(hub)
    #expect(ContinuousClock.now - start >= .seconds(1))
  }

  /// Ranges that are not served: at all, at the wrong place, or no longer.
  @Test(arguments: ["whole", "elsewhere", "416", "unsaid"])
  func partsMayBeRefused(how: String) throws {
    let isFirst = Mutex(true)
    let body = weights
    let hub = try hub { request, answer in
      if isFirst.withLock({
        let was = $0; $0 = false; return was
      }) {
        var cut = answer
        cut.cutAfter = 500_000
        return cut
      }
      guard let start = request.rangeStart else { return nil }
      var answer = answer
      switch how {
      case "whole": return ServedAnswer(body: body)
      case "416": return ServedAnswer(status: 416)
      case "unsaid": answer.fields["Content-Range"] = nil
      default:
        answer.fields["Content-Range"] = "bytes \(start - 1)-\(body.count - 1)/\(body.count)"
      }
      return answer
    }
    try expectRight(hub)
    // A whole file instead of a part is taken as it is.
    if how == "whole" { #expect(hub.store.requests.count == 2) }
  }

  /// The store's file changes in the middle: no mixture of both remains.
  @Test(arguments: [true, false])
  func aChangedFileIsBegunAnew(heedsIfRange: Bool) throws {
    let body = weights
    let count = Mutex(0)
    let hub = try hub { request, answer in
      let number = count.withLock {
        $0 += 1; return $0
      }
      if number == 1 {
        var old = ServedAnswer(
          fields: ["ETag": "\"old\""], body: FakeHub.bytes(body.count, seed: 8))
        old.cutAfter = 700_000
        return old
      }
      if heedsIfRange, request.fields["if-range"] == "\"old\"" { return ServedAnswer(body: body) }
      return nil
    }
    try expectRight(hub)
    #expect(hub.store.requests[1].fields["if-range"] == "\"old\"")
  }

  @Test func anotherFileOnTheHubIsNoticed() throws {
    let other = FakeHub.hex([1], length: 64)
    let hub = try FakeHub(
      large: ["model.safetensors": weights],
      onHub: { request, answer in
        guard answer.status == 302 else { return nil }
        var answer = answer
        answer.fields["X-Linked-ETag"] = "\"\(other)\""
        return answer
      })
    #expect(hub.failure() == .hubRefused)
  }

  @Test func aTricklingServerIsGivenUp() throws {
    let hub = try hub { _, answer in
      var answer = answer
      answer.pause = 200
      return answer
    }
    var (limits, retries) = FakeHub.quick
    limits.slowSeconds = 1
    retries.fruitlessTries = 2
    #expect(throws: Diagnostic.self) { try hub.download(policy: (limits, retries)) }
  }

  @Test func anEndlessAnswerIsCut() throws {
    let hub = try hub { _, answer in
      var answer = answer
      answer.isEndless = true
      return answer
    }
    #expect(hub.failure() == .hubDamaged)
    let listing = try FakeHub(onHub: { _, _ in
      ServedAnswer(body: [UInt8](repeating: 0x20, count: 1 << 20), isEndless: true)
    })
    #expect(listing.failure() == .hubRefused)
    let refusal = try FakeHub(onHub: { _, _ in
      ServedAnswer(status: 404, body: [UInt8](repeating: 0x20, count: 1 << 20), isEndless: true)
    })
    #expect(refusal.failure() == .hubMissing)
  }

  @Test func redirectsEnd() throws {
    let hub = try FakeHub(onHub: { request, _ in
      ServedAnswer(status: 302, fields: ["Location": request.target + "x"])
    })
    #expect(hub.failure() == .hubRefused)
    #expect(hub.hub.requests.count <= 11)
  }

  @Test(arguments: [
    "ftp://127.0.0.1/x", "file:///etc/passwd", "http://192.0.2.1/x", "http://127.0.0.1@192.0.2.1/",
    "http://localhost\\@192.0.2.1/", "x",
  ])
  func badRedirectsAreNotFollowed(location: String) throws {
    let hub = try FakeHub(onHub: { _, _ in
      ServedAnswer(status: 302, fields: ["Location": location])
    })
    #expect(hub.failure() == .hubRefused)
  }

  @Test(arguments: [
    (401, "GatedRepo", DiagnosticCode.hubGated), (403, "GatedRepo", .hubGated),
    (401, "RepoNotFound", .hubMissing), (404, "RepoNotFound", .hubMissing), (404, "", .hubMissing),
    (404, "RevisionNotFound", .hubMissing), (401, "", .hubDenied), (403, "", .hubDenied),
    (418, "", .hubRefused), (204, "", .hubRefused),
  ])
  func refusalsHaveTheirCodes(status: Int, reason: String, code: DiagnosticCode) throws {
    let hub = try FakeHub(onHub: { _, _ in
      ServedAnswer(status: status, fields: ["X-Error-Code": reason])
    })
    #expect(hub.failure() == code)
    #expect(hub.blobs.isEmpty)
  }

  @Test func nobodyThere() throws {
    let hub = try FakeHub()
    #expect(hub.failure(environment: ["HF_ENDPOINT": "http://127.0.0.1:1"]) == .hubUnreachable)
  }

  @Test(arguments: [
    "../evil", "/etc/passwd", "a/../../b", "a//b", "a/./b", "", ".", "..", "a\\b", "a\u{0}b",
    "a\nb", "\u{202E}b", "\u{2024}\u{2024}/x", "a/", String(repeating: "a", count: 256),
    String(repeating: "a/", count: 40) + "a",
  ])
  func hostileNamesAreRefused(name: String) throws {
    let listing = FakeHub.listing(["config.json": [1], name: [2]], [:])
    let hub = try FakeHub(listing: listing)
    #expect(hub.failure() == .hubNameRefused)
    #expect(!FileManager.default.fileExists(atPath: hub.folder.path("hub")))
  }

  @Test(arguments: ["", "main", "../../x", String(repeating: "g", count: 40)])
  func hostileCommitsAreRefused(commit: String) throws {
    let listing = JSONValue.dictionary([("sha", .string(commit)), ("siblings", .list([]))])
    #expect(try FakeHub(listing: listing).failure() == .hubNameRefused)
  }

  @Test func hostileDigestsAreRefused() throws {
    for digest in ["../../x", "", "ABCD", String(repeating: "z", count: 64)] {
      let listing = JSONValue.dictionary([
        ("sha", .string(FakeHub.commit)),
        (
          "siblings",
          .list([
            .dictionary([
              ("rfilename", "config.json"), ("size", 1), ("blobId", .string(digest)),
            ])
          ])
        ),
      ])
      #expect(try FakeHub(listing: listing).failure() == .hubNameRefused, "\(digest)")
    }
  }
}
