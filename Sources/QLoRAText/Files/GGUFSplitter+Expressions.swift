// The splitters of byte-level vocabularies that are expressions, by the names of GGUF files: what
// the first cuts apart is cut by the next.
// Source: llama.cpp's `tokenizer.ggml.pre`; the expressions stand in the models' tokenizer.json.

extension GGUFSplitter {
  /// nil for a name that no list of expressions stands for.
  static func expressions(_ name: String) -> [String]? {
    switch name {
    case "default":
      [
        #"[\p{P}\$\+<=>\^~\|]+"#, SplitPattern.gpt2.spelling, #"\p{N}+"#, "[0-9][0-9][0-9]",
      ]
    case "deepseek-llm":
      [
        "[\r\n]", #"\s?[\#(cased)]+"#,
        #"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+"#,
        #"\s+$"#, ideographsAndOthers, #"\p{N}+"#,
      ]
    case "deepseek-coder":
      ["[\r\n]", #"\s?\p{L}+"#, #"\s?\p{P}+"#, ideographsAndOthers, #"\p{N}"#]
    case "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4":
      [#"\p{N}{1,3}"#, "[一-龥぀-ゟ゠-ヿ]+", signsBeforeWords]
    case "afmoe":
      [
        SplitPattern.numberGroups.spelling,
        // Chinese, kana, Thai, Lao, Khmer, Burmese, Korean.
        "[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{F900}-\u{FAFF}\u{3040}-\u{309F}\u{30A0}-\u{30FF}"
          + "\u{FF65}-\u{FF9F}\u{2F00}-\u{2FDF}\u{E40}-\u{E7F}\u{E80}-\u{EFF}\u{1780}-\u{17FF}"
          + "\u{1000}-\u{109F}\u{AA60}-\u{AA7F}\u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}"
          + "\u{1100}-\u{11FF}]+",
        signsBeforeWords,
      ]
    case "kimi-k2": [kimi]
    case "jais-2": [jais]
    case "youtu":
      [
        "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-\u{303F}\u{FE30}-\u{FE4F}]+|[ㄅ-ㄯ]+|[一-龥\u{3040}-ゟ゠-ヿ]+",
        SplitPattern.youtu.spelling,
      ]
    case "laguna": [#"[^\n]+|[\n]+"#, SplitPattern.qwen2.spelling]
    case "bloom", "gpt3-finnish", "poro-chat": [sentences]
    case "viking": [sentences, #"\p{N}"#]
    case "qwen35":
      [
        #"(?i:\#(contractions))|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"#
          + #"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|"# + blanks
      ]
    case "bailingmoe", "bailingmoe2", "llada-moe":
      [
        #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"#
          + #"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"# + blanks
      ]
    case "seed-coder":
      [
        "(?i:\(contractions))|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}"
          + "| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|" + blanks
      ]
    case "exaone-moe":
      [
        #"(?i:\#(contractions))|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"#
          + #"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|"# + blanks
      ]
    case "minicpm5":
      [
        #"\p{N}{1,3}"#,
        #"(?i:\#(contractions))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+"#
          + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"# + blanks,
      ]
    case "tiny_aya": [#"\d{1,3}(?=(?:\d{3})*\b)"#, SplitPattern.gpt4o.spelling]
    case "superbpe": [#"\p{N}+"#, #"(?=(\d{3})+(?!\d))"#]
    default: nil
    }
  }

  /// DeepSeek's since its third model: a sign before letters begins their word.
  private static let signsBeforeWords =
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##
    + "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    + "|\\s*[\r\n]+|" + blanks

  /// GPT-4o's without slashes, Chinese characters in words of their own.
  private static let kimi: String = {
    let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"#
    let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"#
    let end = "(?i:\(contractions))?"
    return #"[\p{Han}]+|[^\r\n\p{L}\p{N}]?\#(upper)*\#(lower)+\#(end)"#
      + #"|[^\r\n\p{L}\p{N}]?\#(upper)+\#(lower)*\#(end)|\p{N}{1,3}"#
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"# + blanks
  }()

  /// Llama 3's with blanks in powers of two.
  private static let jais =
    #"(?i:\#(contractions))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"#
    + #"|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)"#
    + #"|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}"#

  private static let contractions = "'s|'t|'re|'ve|'m|'ll|'d"
  private static let blanks = #"\s+(?!\S)|\s+"#
  private static let ideographsAndOthers = #"[一-龥\x{800}-一가-\x{D7FF}]+"#
  private static let sentences = #" ?[^(\s|[.,!?…。，、।۔،])]+"#

  /// Letters that have capital and small forms, as the authors of the first DeepSeek listed them.
  private static let cased =
      #"A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}"#
      + #"\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}"#
      + #"\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}"#
      + #"\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}"#
      + #"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}"#
      + #"\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}"#
      + #"\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}"#
      + #"\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}"#
      + #"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}"#
      + #"\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}"#
      + #"\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}"#
      + #"\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}"#
      + #"\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}"#
      + #"\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}"#
      + #"\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}"#
      + #"\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}"#
      + #"\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}"#
      + #"\x{1E900}-\x{1E943}"#
}
