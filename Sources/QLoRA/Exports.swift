// Types of other modules that stand in this one's interface.
import QLoRAData
import QLoRADiagnostics
import QLoRAJSON

/// One failure: what, where, why, and what to do about it.
public typealias Diagnostic = QLoRADiagnostics.Diagnostic
/// Several failures found in one go, such as all the mistakes of a recipe.
public typealias Diagnostics = QLoRADiagnostics.Diagnostics
/// What the rows of a file are: conversations, completions or text.
public typealias RowFormat = QLoRAData.RowFormat
/// A value of a recipe: `16`, `1e-3`, `"cosine"`, `true`, `["q_proj", "v_proj"]`.
public typealias JSONValue = QLoRAJSON.JSONValue
