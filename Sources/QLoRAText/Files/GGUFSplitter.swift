// The names by which GGUF files call the splitters of byte-level vocabularies.
// Source: llama.cpp's `tokenizer.ggml.pre`; the patterns are those of the models' tokenizer.json.
import QLoRADiagnostics

struct GGUFSplitter: Equatable {
  private(set) var preTokenizers: [PreTokenizer]
  private(set) var normalizer: Normalizer?
  /// Words that are tokens need no merging.
  private(set) var ignoresMerges = false
  /// What a file that does not speak of the beginning token means.
  private(set) var addsBOS = false

  /// The names of splitters that differ, each the most common of its kind.
  static let names = [
    "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "stablelm2", "tekken", "gpt-4o", "falcon",
    "deepseek-llm", "deepseek-coder", "deepseek-v3", "bloom", "viking", "qwen35", "bailingmoe",
    "seed-coder", "exaone-moe", "minicpm5", "tiny_aya", "superbpe", "kimi-k2", "afmoe", "chameleon",
    "jais-2", "youtu", "laguna", "default",
  ]

  /// - Throws: `Diagnostic` E0303 for a name unknown here.
  init(name: String, source: String) throws {
    let gpt2 = [PreTokenizer.byteLevel(addsPrefixSpace: false, splits: true)]
    switch name {
    case "gpt-2", "mpt", "olmo", "phi-2", "jais", "trillion", "granite-docling", "jina-es",
      "jina-de", "jina-v2-es", "jina-v2-de", "jina-v1-en", "jina-v2-code", "roberta-bpe",
      "gigachat", "a.x-4.0", "mellum", "modern-bert", "exaone4":
      preTokenizers = gpt2
    case "smollm", "refact", "codeshell", "starcoder", "command-r", "cohere2_moe", "exaone",
      "minerva-7b", "mellum2":
      preTokenizers = [.digits(oneByOne: true)] + gpt2
    case "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
      "jina-v5-nano":
      preTokenizers = Self.split(.llama3)
      ignoresMerges = true
      addsBOS = true
    case "dbrx", "smaug-bpe", "chatglm-bpe", "glm4": preTokenizers = Self.split(.llama3)
    case "qwen2", "deepseek-r1-qwen", "f2llmv2":
      preTokenizers = Self.split(.qwen2)
      // GGUF has no key for it, but the model saw composed text only.
      normalizer = .form(.nfc)
    case "stablelm2", "hunyuan", "megrez", "kormo", "openpangu", "grok-2", "solar-open":
      preTokenizers = Self.split(.qwen2)
    case "tekken":
      preTokenizers = Self.split(.tekken)
      ignoresMerges = true
      addsBOS = true
    case "gpt-4o", "llama4", "kanana2", "minimax-m2": preTokenizers = Self.split(.gpt4o)
    case "falcon":
      preTokenizers =
        [.punctuation(.contiguous)] + gpt2
        + [.digits(oneByOne: false), try Self.split("[0-9][0-9][0-9]", source)]
    case "chameleon":
      preTokenizers =
        try ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", #"([\t\n]|    |  )"#]
        .map { try Self.split($0, source) }
        + [.digits(oneByOne: true), .punctuation(.isolated)] + gpt2
      addsBOS = true
    default:
      guard let expressions = Self.expressions(name) else {
        throw Diagnostic(
          .tokenizerUnsupported,
          "tokenizer.ggml.pre is \"\(name)\"; known are "
            + Self.names.joined(separator: ", ") + " and their other names",
          at: .file(source), remedy: "use the model's Hugging Face folder with its tokenizer.json")
      }
      preTokenizers = try expressions.map { try Self.split($0, source) } + [Self.spelledByBytes]
      if name == "qwen35" { normalizer = .form(.nfc) }
      ignoresMerges = name == "youtu" || name == "minicpm5"
    }
  }

  private static let spelledByBytes = PreTokenizer.byteLevel(addsPrefixSpace: false, splits: false)

  private static func split(_ pattern: SplitPattern) -> [PreTokenizer] {
    [.split(.known(pattern), .isolated, isInverted: false), spelledByBytes]
  }

  private static func split(_ expression: String, _ source: String) throws -> PreTokenizer {
    do {
      return .split(try TextPattern(expression: expression), .isolated, isInverted: false)
    } catch {
      throw Diagnostic(
        .tokenizerUnsupported,
        "this Oniguruma does not compile the splitter \"\(expression)\" (\(error))",
        at: .file(source))
    }
  }

  func apply(to parts: inout TokenizerParts) {
    parts.preTokenizers = preTokenizers
    parts.normalizer = normalizer
    guard case .bytePairs(let merges, var spelling) = parts.model else { return }
    spelling.ignoresMerges = ignoresMerges
    parts.model = .bytePairs(merges, spelling)
  }
}
