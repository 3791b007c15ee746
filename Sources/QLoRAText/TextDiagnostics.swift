// The error codes of tokenizers (E030x) and chat templates (E032x), with what `qlora explain` says.
import QLoRADiagnostics

extension DiagnosticCode {
  package static let tokenizerMissing = DiagnosticCode(
    "E0301", .inputMissing,
    """
    A model folder needs tokenizer.json, the fast-tokenizer file of Hugging Face models, or \
    tokenizer.model, a SentencePiece file. Some folders hold only vocab.json and merges.txt or \
    vocab.txt; load such a model with transformers once and save its tokenizer, which writes \
    tokenizer.json.
    """)
  package static let tokenizerMalformed = DiagnosticCode(
    "E0302", .badData,
    """
    A tokenizer file could be read but contradicts itself or lacks a required field, for example \
    a merge whose result is no token. Fetch the file again; a truncated download is the usual \
    cause.
    """)
  package static let tokenizerUnsupported = DiagnosticCode(
    "E0303", .badData,
    """
    The tokenizer uses a model, normalizer, splitter, expression, post-processor or decoder that \
    this version does not implement. Guessing would change token ids silently, so it is refused; \
    the message names the part and what is supported. Read are BPE, Unigram, WordPiece and \
    WordLevel of tokenizer.json, SentencePiece's tokenizer.model, and the GGUF vocabularies gpt2, \
    llama, t5 and bert.
    """)
  package static let controlTokenMissing = DiagnosticCode(
    "E0304", .badData,
    """
    A beginning, end or padding token that the tokenizer's configuration names is not in its \
    vocabulary. Tokenizer and configuration come from different models, or one was edited.
    """)
  package static let templateSyntax = DiagnosticCode(
    "E0320", .badData,
    """
    The chat template is not valid Jinja, or uses a statement outside the part that chat \
    templates need (no include, import or extends). The position is that in the template.
    """)
  package static let templateFailed = DiagnosticCode(
    "E0321", .badData,
    """
    The chat template stopped while rendering: it used a value that does not exist or an \
    operation that its operands do not allow. Usually a row lacks a field that the template reads.
    """)
  package static let templateRaised = DiagnosticCode(
    "E0322", .badData,
    """
    The chat template itself refused the conversation through raise_exception, for example \
    because roles do not alternate. The message is the template author's.
    """)
  package static let templateLimit = DiagnosticCode(
    "E0323", .badData,
    """
    The chat template exceeded a limit that protects against hostile templates: its size, nesting \
    depth, number of steps, length of a range, or size of the text it makes. Templates of known \
    models stay far below all of them.
    """)
}

/// The codes of this module, for `qlora explain`.
package enum TextDiagnostics {
  package static let allTextCodes: [DiagnosticCode] = [
    .tokenizerMissing, .tokenizerMalformed, .tokenizerUnsupported, .controlTokenMissing,
    .templateSyntax, .templateFailed, .templateRaised, .templateLimit,
  ]
}
