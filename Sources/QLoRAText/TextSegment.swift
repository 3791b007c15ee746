// Rendered text that remembers who wrote each part, and what became of it as tokens. It holds the
// values only: templates make segments, the tokenizer turns them into ids.

/// Who wrote a piece of rendered text.
package enum SegmentOrigin: Sendable, Hashable {
  /// The chat template itself, or a well-known role name such as `assistant`.
  case template
  /// Anything reachable from the message of this index.
  case message(Int)
  /// Anything reachable from the list of tools.
  case tools
}

/// A maximal piece of rendered text with one origin.
package struct TextSegment: Sendable, Equatable {
  package var text: String
  package var origin: SegmentOrigin

  package init(text: String, origin: SegmentOrigin) {
    self.text = text
    self.origin = origin
  }
}

/// Token ids with the bytes that each stands for.
package struct TokenizedText: Sendable, Equatable {
  package var ids: [Int32]
  /// UTF-8 offsets in the concatenated text, one range per id, in order.
  package var byteRanges: [Range<Int>]
  /// Whether the id was recognised as an added (control) token rather than merged from text.
  package var isControl: [Bool]

  package init(ids: [Int32] = [], byteRanges: [Range<Int>] = [], isControl: [Bool] = []) {
    self.ids = ids
    self.byteRanges = byteRanges
    self.isControl = isControl
  }

  mutating func reserve(_ count: Int) {
    ids.reserveCapacity(count)
    byteRanges.reserveCapacity(count)
    isControl.reserveCapacity(count)
  }

  mutating func append(_ id: Int32, _ range: Range<Int>, isControl control: Bool) {
    ids.append(id)
    byteRanges.append(range)
    isControl.append(control)
  }
}

/// What a GGUF file's `tokenizer.ggml.*` keys say, free of the file format.
package struct GGUFVocabulary: Sendable {
  package var tokens: [String]
  package var scores: [Float]?
  /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty = all normal.
  package var tokenTypes: [Int32]
  package var merges: [String]
  /// `tokenizer.ggml.pre`, such as `smollm` or `llama-bpe`.
  package var preTokenizer: String
  /// `tokenizer.ggml.model`: `gpt2` (byte-level BPE), `llama` and `t5` (SentencePiece), `bert`.
  package var modelName: String
  package var bosID: Int32?
  package var eosID: Int32?
  package var padID: Int32?
  package var unknownID: Int32?
  /// `tokenizer.ggml.add_bos_token`; nil where the file is silent and the splitter decides.
  package var addBOS: Bool?
  /// `tokenizer.ggml.add_eos_token`.
  package var addEOS: Bool?
  /// What SentencePiece does to a text first: `add_space_prefix`, `remove_extra_whitespaces`,
  /// `precompiled_charsmap`.
  package var addSpacePrefix: Bool?
  package var removesExtraSpaces: Bool?
  package var characterMap: [UInt8]?
  /// `tokenizer.ggml.cls_token_id` and `seperator_token_id` of BERT's files.
  package var classID: Int32?
  package var separatorID: Int32?
  package var chatTemplate: String?

  package init(
    tokens: [String], scores: [Float]? = nil, tokenTypes: [Int32] = [], merges: [String],
    preTokenizer: String, modelName: String = "gpt2", bosID: Int32? = nil, eosID: Int32? = nil,
    padID: Int32? = nil, unknownID: Int32? = nil, addBOS: Bool? = nil, chatTemplate: String? = nil
  ) {
    self.tokens = tokens
    self.scores = scores
    self.tokenTypes = tokenTypes
    self.merges = merges
    self.preTokenizer = preTokenizer
    self.modelName = modelName
    self.bosID = bosID
    self.eosID = eosID
    self.padID = padID
    self.unknownID = unknownID
    self.addBOS = addBOS
    self.chatTemplate = chatTemplate
  }
}
