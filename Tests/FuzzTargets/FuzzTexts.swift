// Tokenizers, chat templates and data rows: hostile files meet a text, a conversation, a tokenizer.
import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText
import TestSupport

enum FuzzTexts {
  private static let text = "Hello, wörld!  It's 12345 <|im_end|>\n\n\taaaaaaaa é e\u{301} 中文 🙂"

  /// `tokenizer.json` up to a zero byte, then a text to encode.
  static func tokenizer(_ input: [UInt8]) throws {
    let (json, rest) = halves(input)
    _ = ScratchFolder.shared.write(json, "tokenizer.json")
    let tokenizer = try Tokenizer.load(folder: ScratchFolder.shared.path)
    try use(tokenizer, String(decoding: rest, as: UTF8.self))
  }

  /// `tokenizer.model`, a binary file, which is its own text to encode.
  static func pieces(_ input: [UInt8]) throws {
    _ = ScratchFolder.pieces.write(input, "tokenizer.model")
    let tokenizer = try Tokenizer.load(folder: ScratchFolder.pieces.path)
    try use(tokenizer, String(decoding: input, as: UTF8.self))
  }

  private static func use(_ tokenizer: Tokenizer, _ other: String) throws {
    for text in [text, other] {
      check(tokenizer.encode(text), tokenizer)
      let segments = [
        TextSegment(text: "<|im_start|>", origin: .template),
        TextSegment(text: text, origin: .message(0)),
      ]
      let encoded = tokenizer.encode(segments)
      check(encoded.ids, tokenizer)
      precondition(encoded.ids.count == encoded.byteRanges.count)
    }
  }

  private static func check(_ ids: [Int32], _ tokenizer: Tokenizer) {
    precondition(
      ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularyCount },
      "a token outside the vocabulary")
    var decoder = tokenizer.makeStreamingDecoder()
    let streamed = ids.map { decoder.append($0) }.joined() + decoder.finish()
    precondition(
      tokenizer.decode(ids).utf8.elementsEqual(streamed.utf8), "text as it comes differs")
  }

  /// A fiftieth of what a run allows, so that reaching a limit takes no time.
  static let limits: TemplateLimits = {
    var limits = TemplateLimits()
    limits.steps /= 50
    limits.rangeLength /= 50
    limits.outputBytes /= 50
    limits.textWork /= 50
    return limits
  }()

  private static let conversation: [JSONValue] = [
    .dictionary([("role", .string("system")), ("content", .string("Be brief."))]),
    .dictionary([("role", .string("user")), ("content", .string("What is <|im_end|>?"))]),
    .dictionary([("role", .string("assistant")), ("content", .string("A word."))]),
  ]

  /// A template up to a zero byte, then the messages as JSON; without them a conversation.
  static func template(_ input: [UInt8]) throws {
    let (source, rest) = halves(input)
    let template = try ChatTemplate(
      source: String(decoding: source, as: UTF8.self), bosToken: "<s>", eosToken: "</s>",
      limits: limits)
    let messages = try? JSONValue(parsing: rest).arrayValue
    _ = try template.render(messages ?? conversation, tools: nil, addsGenerationPrompt: true)
  }
}

/// Rows in any container: what opens is walked to its last row.
enum FuzzContainers {
  /// Rows of a table, whose first bytes tell that it is one.
  static func table(_ input: [UInt8]) throws { try walk("rows.parquet", input) }

  /// Texts, compressed or not; the first byte chooses JSON or CSV.
  static func container(_ input: [UInt8]) throws {
    let names = ["rows.jsonl", "rows.csv", "rows.tsv.gz"]
    try walk(names[Int(input.first ?? 0) % names.count], Array(input.dropFirst()))
  }

  private static func walk(_ name: String, _ input: [UInt8]) throws {
    // A run of nulls may be long by right: some thousand rows show what there is to find.
    let rows = 5000
    try RowReader(file: name, bytes: input).forEachRow(limit: rows) { row in
      precondition(row.value.objectMembers != nil, "a row that is no object")
    }
  }
}

/// Rows as JSON lines or an array; the first byte chooses the format.
struct FuzzRows {
  static let shared = FuzzRows()

  private let encoder: RowEncoder

  private init() {
    do {
      let tokenizer = try Tokenizer.load(folder: Goldens.path("tiny-chat"))
      let template = try ChatTemplate(
        source: tokenizer.chatTemplateSource ?? "", bosToken: "<|im_start|>",
        eosToken: "<|im_end|>")
      encoder = RowEncoder(tokenizer: tokenizer, template: template, maxTokens: 64)
    } catch {
      preconditionFailure("the golden tokenizer does not load: \(error)")
    }
  }

  func run(_ input: [UInt8]) throws {
    let formats = RowFormat.allCases
    let format = formats[Int(input.first ?? 0) % formats.count]
    var report = EncodingReport()
    try RowReader(file: "rows.jsonl", bytes: Array(input.dropFirst())).forEachRow { row in
      for encoded in try encoder.encode(row, format: format, report: &report) {
        precondition(encoded.tokens.count == encoded.labels.count)
        precondition(encoded.tokens.count <= 64)
      }
    }
  }
}
