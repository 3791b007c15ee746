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
    A data file holds one JSON object per line (JSONL), or one JSON array of objects, or, named \
    .csv, comma-separated values by RFC 4180. This row is not valid JSON, not an object, or has \
    not the fields of the header. In JSONL a line break inside a string must be \\n; in CSV a \
    field with commas, quotes or line breaks stands in quotes.
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
    "completion"; `text` "text"; `classification` "text", "label" and optionally "text_pair". \
    A message's "weight" is 0 or 1, its "train" true or false, and \
    only the assistant's messages can be trained.
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
  package static let rowTooLarge = DiagnosticCode(
    "E0411", .badData,
    """
    One row of a data file takes more than 256 MiB, or has more than four million values. A file \
    of JSON rows has a line end after each of them; a compressed file that grows without end is \
    refused here too.
    """)
  package static let compressionDamaged = DiagnosticCode(
    "E0412", .badData,
    """
    A data file is compressed with gzip or Zstandard, as its first bytes say, and the compressed \
    stream is damaged or cut short. Test it with `gzip -t` or `zstd -t` and download it again.
    """)
  package static let tableDamaged = DiagnosticCode(
    "E0413", .badData,
    """
    A Parquet file contradicts itself or ends too early. The message names the column and the \
    byte of the page at which that shows. Download or write the file again.
    """)
  package static let tableUnsupported = DiagnosticCode(
    "E0414", .badData,
    """
    A Parquet file uses something that is not read here: encryption, columns in other files, or \
    the compressions BROTLI, LZO and LZ4 with Hadoop's frames. What is read: no compression, \
    SNAPPY, GZIP, ZSTD and LZ4_RAW. In Python, pyarrow.parquet.write_table(table, path, \
    compression="zstd") writes it again.
    """)
  package static let unknownLabel = DiagnosticCode(
    "E0415", .badData,
    """
    A row's label is none of the run's classes. These are what data.labels names, or, where it \
    names none, the labels of the training rows: one that only validation rows have is unknown.
    """)
  package static let tooFewLabels = DiagnosticCode(
    "E0416", .badData,
    """
    Classes are told apart where there are two at least. The rows of data.train have fewer labels, \
    and data.labels names none.
    """)
}

/// The codes of this module, for `qlora explain`.
package enum DataDiagnostics {
  package static let allDataCodes: [DiagnosticCode] = [
    .dataFileMissing, .dataFileUnreadable, .rowSyntax, .rowEncoding, .rowShape, .nothingTrained,
    .noEndOfTurn, .rowTooLong, .noRows, .chatTemplateMissing, .rowTooLarge, .compressionDamaged,
    .tableDamaged, .tableUnsupported, .unknownLabel, .tooFewLabels,
  ]
}
