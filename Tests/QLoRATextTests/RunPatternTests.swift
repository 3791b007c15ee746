// Expressions that are one run of characters find what the engine finds, and the others stay its.
import Foundation
import QLoRADiagnostics
import QLoRAText
import TestSupport
import Testing

struct RunPatternTests {
  /// A tokenizer whose tokens are what a splitter makes of a text.
  private func splitter(_ expression: String) throws -> Tokenizer {
    let folder = try TemporaryFolder()
    let pattern = String(decoding: try JSONEncoder().encode(["Regex": expression]), as: UTF8.self)
    let step = "{\"type\":\"Split\",\"pattern\":\(pattern),\"behavior\":\"Isolated\"}"
    let model = #"{"type":"WordLevel","vocab":{"u":0},"unk_token":"u"}"#
    try "{\"pre_tokenizer\":\(step),\"model\":\(model)}".write(
      toFile: folder.path("tokenizer.json"), atomically: true, encoding: .utf8)
    return try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
  }

  private func cuts(_ tokenizer: Tokenizer, _ text: String) -> [Range<Int>] {
    tokenizer.encode([TextSegment(text: text, origin: .template)]).byteRanges
  }

  /// Characters that one of the expressions asks for, of all planes and every length of UTF-8.
  private static let pool = [
    " ", " ", "\n", "\r", "\t", "\u{85}", "\u{A0}", "\u{3000}", "\u{2028}", "a", "Z", "é", "ſ", "ж",
    "中", "ー", "한", "1", "٣", "Ⅷ", "²", ".", "-", "!", "$", "^", "。", "‘", "€", "∑", "\u{301}",
    "\u{20DD}", "𝒜", "𠀀", "𝟙", "𐄀", "🙂", "\u{E000}", "\u{0}", "\u{10FFFF}", "ﾟ", "～",
  ]

  /// A generator without secrets, so that a failure can be repeated.
  private struct Draws: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ (state >> 33)
    }
  }

  @Test(arguments: [
    "[\r\n]", #"[\r\n]"#, #"\s?\p{L}+"#, #" ?\p{L}+"#, #"\s?\p{P}+"#, #"\p{N}"#, #"\p{N}+"#,
    #"\p{N}{1,3}"#, #"\s+$"#, #"\s+"#, "[0-9][0-9][0-9]", "[^a-z\\s]+", #"[\p{P}\$\+<=>\^~\|]+"#,
    #"\s?[!-/:-~\x{FF01}-\x{FF0F}‘-‟　-。]+"#, "[一-龥ࠀ-一가-퟿]+", #" ?[\p{S}\p{M}]+"#,
    "[\u{1D400}-\u{1D7FF}😀-🙏]+", "[^\u{10000}-\u{10FFFF}]+", #"\s?[\s\p{N}]{1,3}"#, "[ab]",
  ])
  func cutsWhereTheEngineCuts(_ expression: String) throws {
    let ours = try splitter(expression)
    // What stands in a group is left to the engine.
    let engine = try splitter("(?:\(expression))")
    var draws = Draws(state: UInt64(expression.utf8.count))
    for _ in 0..<1_000 {
      let length = Int.random(in: 1...24, using: &draws)
      let text = (0..<length).map { _ in Self.pool.randomElement(using: &draws) ?? "" }.joined()
      #expect(cuts(ours, text) == cuts(engine, text), "\(expression) in \(text.debugDescription)")
    }
  }

  /// Patterns written out by hand beside their expressions.
  @Test(arguments: [
    #"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"#,
    #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
      + #"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"#
      + #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}"#
      + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
  ])
  func patternsByHandCutLikeTheEngine(_ expression: String) throws {
    try cutsWhereTheEngineCuts(expression)
  }

  @Test func longNumbersFallIntoThrees() throws {
    let groups = try splitter(#"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"#)
    let found = cuts(groups, String(repeating: "7", count: 100_000))
    #expect(found.count == 33_334 && found.first == 0..<1 && found.last == 99_997..<100_000)
  }

  @Test func tokensAreWhatASplitterMakes() throws {
    #expect(cuts(try splitter(#"\s?\p{N}{1,3}"#), "a 1234") == [0..<1, 1..<5, 5..<6])
  }

  /// Spelled like runs, but meaning something else: the engine's business, which takes them too.
  @Test(arguments: [
    (#"\s?"#, "a b"), (#"\p{L}+?"#, "ab c"), (#"\p{L}++"#, "ab c"), (#"\p{^L}+"#, "ab 12"),
    ("[a-c&&b-d]+", "abcd"), ("[[:alpha:]]+", "ab1"), (#"[\d]+"#, "a12"), ("[a-]+", "a-b"),
    (#"\p{L}+$"#, "ab cd"), (#"[a\-z]+"#, "a-z b"), (#"\p{L}{1,3}+"#, "abcdefg"),
  ])
  func otherExpressionsKeepTheirMeaning(_ expression: String, _ text: String) throws {
    #expect(try cuts(splitter(expression), text) == cuts(splitter("(?:\(expression))"), text))
  }

  @Test func halfAClassIsRefused() throws {
    for expression in ["[a-", "[", "[]", #"[z-a]"#, #"\p{L"#] {
      let found = #expect(throws: Diagnostic.self) { _ = try splitter(expression) }
      #expect(found?.code == .tokenizerUnsupported)
    }
  }

  /// Bytes of half a character reach a decoder that replaces what an expression finds.
  @Test func halfCharactersAreDecoded() throws {
    let folder = try TemporaryFolder()
    let decoder = #"{"type":"Sequence","decoders":[{"type":"ByteLevel"},{"type":"Replace","#
      + #""pattern":{"Regex":"\\s?\\p{L}+"},"content":"-"}]}"#
    // The last token is the first byte of a character of four.
    let model = #"{"type":"BPE","vocab":{"a":0,"ð":1},"merges":[]}"#
    try "{\"decoder\":\(decoder),\"model\":\(model)}".write(
      toFile: folder.path("tokenizer.json"), atomically: true, encoding: .utf8)
    let tokenizer = try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
    #expect(tokenizer.decode([0, 1, 0]) == "-\u{FFFD}-")
  }
}
