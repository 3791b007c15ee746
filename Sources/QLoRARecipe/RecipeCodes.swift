// The stable codes of everything that can be wrong with a recipe (E01xx).
import QLoRADiagnostics

extension DiagnosticCode {
  package static let recipeUnreadable = DiagnosticCode(
    "E0100", .inputMissing,
    """
    The recipe file does not exist or is no plain file. Check the path; `qlora recipes ls` lists \
    the recipes that come with qlora.
    """)
  package static let recipeSyntax = DiagnosticCode(
    "E0101", .usage,
    """
    The recipe is not JSON. Comments (// and /* */) and a comma before a closing bracket are \
    accepted; keys and strings need double quotes.
    """)
  package static let recipeUnknownKey = DiagnosticCode(
    "E0102", .usage,
    """
    The recipe has a key that qlora does not know at this place. A key is never ignored, so that \
    a misspelt one cannot silently leave a default in force. The message names the nearest right \
    key, or the place where the key belongs, or what another tool's name is called here. \
    `qlora schema` prints all keys.
    """)
  package static let recipeDuplicateKey = DiagnosticCode(
    "E0103", .usage,
    """
    An object of the recipe has the same key twice, so one of the values would be lost. Delete \
    one of them.
    """)
  package static let recipeWrongType = DiagnosticCode(
    "E0104", .usage,
    """
    A value has the wrong JSON type, such as a string where a number belongs. \
    `qlora validate RECIPE --explain KEY` says what the key takes.
    """)
  package static let recipeOutOfRange = DiagnosticCode(
    "E0105", .usage,
    """
    A value has the right type but lies outside of what the key allows. The message names the \
    limits.
    """)
  package static let recipeUnknownChoice = DiagnosticCode(
    "E0106", .usage,
    """
    The key takes one of a few words, and the recipe has another one. The message lists them.
    """)
  package static let recipeMissingKey = DiagnosticCode(
    "E0107", .usage,
    """
    A required key is missing. Only model.path and data.train (with a path in every entry) are \
    required; every other key has a default.
    """)
  package static let recipeContradiction = DiagnosticCode(
    "E0108", .usage,
    """
    Two keys contradict each other, or a key an input that has the last word, such as a model that \
    is quantized already: each alone would be accepted. The message names both; change or delete \
    one.
    """)
  package static let recipeUnavailable = DiagnosticCode(
    "E0109", .usage,
    """
    The value belongs to the recipe format, but this version of qlora cannot do it. The message \
    lists what it can do.
    """)
  package static let recipeOverride = DiagnosticCode(
    "E0110", .usage,
    """
    A `--set` argument is not of the form KEY=VALUE, such as training.seed=7, or it names an \
    element that a list does not have. The value is JSON; what is not JSON is taken as a string. \
    `qlora resume` takes places of inputs only, such as model.path=PATH.
    """)
  package static let recipeTooLarge = DiagnosticCode(
    "E0111", .usage,
    """
    The recipe is larger than 1 MiB or nested deeper than 32 levels, so it is hardly a recipe. \
    Rows belong into data files that data.train names.
    """)
  package static let recipeInputMissing = DiagnosticCode(
    "E0112", .inputMissing,
    """
    A file or folder that the recipe names does not exist. Input paths are looked up in the \
    recipe's folder, then in the working directory.
    """)

  /// For `qlora explain`.
  package static let allRecipeCodes: [DiagnosticCode] = [
    .recipeUnreadable, .recipeSyntax, .recipeUnknownKey, .recipeDuplicateKey, .recipeWrongType,
    .recipeOutOfRange, .recipeUnknownChoice, .recipeMissingKey, .recipeContradiction,
    .recipeUnavailable, .recipeOverride, .recipeTooLarge, .recipeInputMissing,
  ]
}
