// Shard names that an index from elsewhere may hold: only plain names of the same folder are used.
import QLoRADiagnostics
import QLoRASystem
import TestSupport
import Testing

import QLoRAFormats

struct HostileNameTests {
  /// As they stand in the JSON, escapes included.
  static let names = [
    "", ".", "..", "/", "...", "./x.safetensors", "../x.safetensors", "a/../x.safetensors",
    "a/x.safetensors", "/x.safetensors", "//x.safetensors", "/etc/passwd", "/dev/zero",
    "../../../../../../etc/shadow", "..\\\\x.safetensors", "a\\\\x.safetensors",
    "C:\\\\x.safetensors", "C:x.safetensors", "\\\\\\\\host\\\\x.safetensors", "~/x.safetensors",
    "~root.safetensors", "file:///x.safetensors", "https://example.com/x.safetensors",
    "x.safetensors/", "x.safetensors/..", "x.safetensors\\u0000", "x\\u0000.safetensors",
    "\\u0000", "x.safetensors\\n", "\\nx.safetensors", "x\\t.safetensors", "x\\u007f.safetensors",
    " x.safetensors", "x.safetensors ", "x y.safetensors", "%2e%2e/x.safetensors",
    "%2e%2e%2fx.safetensors", "..%c0%af.safetensors", "․․/x.safetensors", "．．／x.safetensors",
    "‥/x.safetensors", "x∕y.safetensors", "x⁄y.safetensors", "é.safetensors",
    "e\\u0301.safetensors",
    "\\u202ex.safetensors", "\\ufeffx.safetensors", "x.safetensors\\u200b", "$HOME.safetensors",
    "`id`.safetensors", "$(id).safetensors", "a;b.safetensors", "a|b.safetensors", "*.safetensors",
    "?.safetensors", "[x].safetensors", "{x}.safetensors", "a'b.safetensors", "a\\\"b.safetensors",
    "<x>.safetensors", "x&y.safetensors", "#x.safetensors", "x:y.safetensors", "x=y.safetensors",
    "x.bin", "x.pt", "x.gguf", "x.safetensors.bin", "x.SAFETENSORS", "x.safetensor", "safetensors",
    ".safetensors", "pytorch_model.bin", "x.pkl", "x.safetensors.index.json", "proc/self/mem",
    "/proc/self/fd/0", "-",
  ]

  private func refusal(_ value: String) throws -> Diagnostic? {
    let folder = try TemporaryFolder()
    _ = try folder.write(
      "{\"weight_map\":{\"a\":\(value)}}", ShardedSafetensors.indexName)
    return diagnostic { _ = try ShardedSafetensors(folder: folder.path("")) }
  }

  @Test(arguments: names) func isRefused(_ name: String) throws {
    let found = try refusal("\"\(name)\"")
    #expect(found?.code == .shardIndex)
    guard case .position = found?.location else {
      Issue.record("no position: \(found.map { "\($0)" } ?? "accepted")")
      return
    }
  }

  @Test(arguments: ["null", "1", "true", "[]", "{}", "[\"x.safetensors\"]"])
  func isNoText(_ value: String) throws {
    #expect(try refusal(value)?.code == .shardIndex)
  }

  /// Allowed by their letters, so that the system decides.
  @Test func plainNamesAreLookedFor() throws {
    #expect(try refusal("\"-rf.safetensors\"")?.code == .fileMissing)
    #expect(try refusal("\"...safetensors\"")?.code == .fileMissing)
    let long = String(repeating: "x", count: 300)
    #expect(try refusal("\"\(long).safetensors\"")?.code == .fileUnreadable)
  }

  @Test func thereAreManyOfThem() { #expect(Self.names.count >= 72) }
}
