// A byte-level vocabulary small enough to reason about: every byte, a few merges, four control
// tokens. No model's tokenizer.
import QLoRAData
import QLoRAJSON
import QLoRAText

enum TestVocabulary {
  static let endOfText: Int32 = 0
  static let turnStart: Int32 = 1
  static let turnEnd: Int32 = 2

  /// - Parameters:
  ///   - hasEnd: whether there is an end-of-sequence token.
  ///   - addsBeginning: whether a text begins with `<s>`.
  static func tokenizer(hasEnd: Bool = true, addsBeginning: Bool = false) throws -> Tokenizer {
    let controls = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</tool_call>"]
    // Newline and space as byte-level vocabularies spell them.
    let merges = ["h e", "l l", "he ll", "hell o", "Ċ Ċ", "Ġ t", "Ġt he"]
    let tokens = controls + alphabet + merges.map { $0.replacing(" ", with: "") }
    var types = [Int32](repeating: 1, count: tokens.count)
    for id in 0..<4 { types[id] = 3 }
    types[4] = 4
    return try Tokenizer(
      gguf: GGUFVocabulary(
        tokens: tokens, tokenTypes: types, merges: merges, preTokenizer: "gpt-2", bosID: 3,
        eosID: hasEnd ? 0 : nil, addBOS: addsBeginning))
  }

  /// GPT-2's printable stand-ins for the bytes, in the bytes' order.
  private static let alphabet: [String] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      let isPrintable = 0x21...0x7E ~= byte || 0xA1...0xAC ~= byte || 0xAE...0xFF ~= byte
      defer { if !isPrintable { next += 1 } }
      let value = isPrintable ? UInt32(byte) : next
      return Unicode.Scalar(value).map { String($0) } ?? ""
    }
  }()

  /// The trained stretches of tokens, as text.
  static func trained(
    _ tokens: [Int32], _ isTrained: [Bool], _ tokenizer: Tokenizer
  ) -> [String] {
    var stretches: [[UInt8]] = []
    var isOpen = false
    for (token, trained) in zip(tokens, isTrained) {
      if trained {
        if !isOpen { stretches.append([]) }
        stretches[stretches.count - 1] += tokenizer.bytes(of: token)
      }
      isOpen = trained
    }
    return stretches.map { String(decoding: $0, as: UTF8.self) }
  }

  static func trained(_ row: EncodedRow, _ tokenizer: Tokenizer) -> [String] {
    trained(row.tokens, row.labels.map { $0 != untrainedLabel }, tokenizer)
  }

  static func text(_ tokens: some Sequence<Int32>, _ tokenizer: Tokenizer) -> String {
    String(decoding: tokens.flatMap { tokenizer.bytes(of: $0) }, as: UTF8.self)
  }
}

/// A row from JSON text.
func dataRow(_ json: String, number: Int = 7) throws -> DataRow {
  DataRow(file: "rows.jsonl", number: number, value: try JSONValue(parsing: json))
}

/// Rows of the given lengths with tokens that name row and place; all but the first labelled.
func numberedRows(_ lengths: [Int]) -> [EncodedRow] {
  lengths.enumerated().map { index, length in
    let tokens = (0..<length).map { Int32(index * 1000 + $0) }
    return EncodedRow(tokens: tokens, labels: tokens, number: index + 1)
  }
}

extension BatchPlan {
  convenience init(rows: [EncodedRow], settings: BatchSettings) {
    self.init(rows: EncodedRows(rows), settings: settings)
  }
}
