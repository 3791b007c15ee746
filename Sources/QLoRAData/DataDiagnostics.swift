// The error codes of data rows, E04xx.
import QLoRADiagnostics

extension DiagnosticCode {
  package static let dataFileMissing = DiagnosticCode(
    "E0401", .inputMissing,
    """
    A data file named in the recipe or on the command line does not exist or is a folder. Paths \
    in a recipe count from the recipe's own folder first, then from the working directory.
    """)
  package static let dataFileUnreadable = DiagnosticCode(
    "E0402", .inputOutput,
    "A data file exists but could not be read. Check its permissions and the disk.")
  package static let rowSyntax = DiagnosticCode(
    "E0403", .badData,
    """
    A data file holds one JSON object per line (JSONL), or one JSON array of objects. This row is \
    not valid JSON, or not an object. Rows are written on one line each: a line break inside a \
    string must be \\n.
    """)
  package static let rowEncoding = DiagnosticCode(
    "E0404", .badData,
    """
    Data files must be UTF-8. The byte offset named is that of the first byte that is not. Convert \
    the file, for example with iconv -f latin1 -t utf-8.
    """)
  package static let rowShape = DiagnosticCode(
    "E0405", .badData,
    """
    The row lacks a key that its format needs, or a value has the wrong type. Formats: `messages` \
    needs "messages": [{"role", "content"}…]; `sharegpt` "conversations": [{"from", "value"}…]; \
    `alpaca` "instruction", optionally "input", and "output"; `prompt-completion` "prompt" and \
    "completion"; `text` "text".
    """)
  package static let nothingTrained = DiagnosticCode(
    "E0406", .badData,
    """
    No token of the row would be trained: a conversation without an assistant's content, an empty \
    text, or a chat template that leaves the assistant's turn out. Such a row \
    teaches nothing and usually means that the format is the wrong one.
    """)
  package static let noEndOfTurn = DiagnosticCode(
    "E0407", .badData,
    """
    The row would train the assistant's words but no end-of-turn token, so the model would never \
    learn to stop. The chat template writes no control token after the assistant's content, or the \
    tokenizer has no end-of-sequence token. Use the model's own template and tokenizer.
    """)
  package static let rowTooLong = DiagnosticCode(
    "E0408", .badData,
    """
    The row has more tokens than data.maxTokens, and data.overLength is "error". Raise maxTokens, \
    shorten the row, or choose "truncate" or "drop".
    """)
  package static let noRows = DiagnosticCode(
    "E0409", .badData,
    "The data sources hold no row that can be trained on, or dropping long rows left none.")
  package static let chatTemplateMissing = DiagnosticCode(
    "E0410", .badData,
    """
    Conversations (messages, sharegpt, alpaca) are laid out by the model's chat template, and this \
    model has none: base models often lack one. Use an instruction-tuned model, put a \
    chat_template.jinja into the model folder, or give the data as prompt-completion or text.
    """)
}

/// The codes of this module, for `qlora explain`.
package enum DataDiagnostics {
  package static let allDataCodes: [DiagnosticCode] = [
    .dataFileMissing, .dataFileUnreadable, .rowSyntax, .rowEncoding, .rowShape, .nothingTrained,
    .noEndOfTurn, .rowTooLong, .noRows, .chatTemplateMissing,
  ]
}
