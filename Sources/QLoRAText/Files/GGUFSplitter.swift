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
    "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "stablelm2", "tekken", "gpt-4o",
  ]

  /// - Throws: `Diagnostic` E0303 for a name unknown here.
  init(name: String, source: String) throws {
    func split(_ pattern: SplitPattern) -> [PreTokenizer] {
      [
        .split(.known(pattern), .isolated, isInverted: false),
        .byteLevel(addsPrefixSpace: false, splits: false),
      ]
    }
    let gpt2 = [PreTokenizer.byteLevel(addsPrefixSpace: false, splits: true)]
    switch name {
    case "gpt-2", "mpt", "olmo", "phi-2", "jais", "trillion", "granite-docling":
      preTokenizers = gpt2
    case "smollm", "refact", "codeshell", "starcoder", "command-r", "exaone", "minerva-7b":
      preTokenizers = [.digits(oneByOne: true)] + gpt2
    case "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2":
      preTokenizers = split(.llama3)
      ignoresMerges = true
      addsBOS = true
    case "dbrx", "smaug-bpe", "chatglm-bpe", "glm4": preTokenizers = split(.llama3)
    case "qwen2", "deepseek-r1-qwen":
      preTokenizers = split(.qwen2)
      // GGUF has no key for it, but the model saw composed text only.
      normalizer = .form(.nfc)
    case "stablelm2", "hunyuan", "megrez": preTokenizers = split(.qwen2)
    case "tekken":
      preTokenizers = split(.tekken)
      ignoresMerges = true
      addsBOS = true
    case "gpt-4o", "llama4": preTokenizers = split(.gpt4o)
    default:
      throw Diagnostic(
        .tokenizerUnsupported,
        "tokenizer.ggml.pre is \"\(name)\"; known are "
          + Self.names.joined(separator: ", ") + " and their other names",
        at: .file(source), remedy: "use the model's Hugging Face folder with its tokenizer.json")
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
