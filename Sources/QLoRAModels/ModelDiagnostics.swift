// The failures of loading models and applying adapters, for messages and `qlora explain`.

import QLoRADiagnostics

extension DiagnosticCode {
  package static let unexpectedShape = DiagnosticCode(
    "E0501", .badData,
    "A tensor's shape differs from what the model's configuration asks for. Usually config.json "
      + "and the weight files come from different models, or a shard was replaced.")
  package static let badModulePattern = DiagnosticCode(
    "E0502", .usage,
    "A module pattern is not a regular expression. Targets and skip lists take full module names "
      + "(model.layers.0.self_attn.q_proj), suffixes (q_proj) or regular expressions that match a "
      + "whole name.")
  package static let noTarget = DiagnosticCode(
    "E0503", .usage,
    "adapter.targets names no linear of this model. Run `qlora inspect MODEL` for the names; "
      + "\"all-linear\" takes every linear but the output head.")
  package static let adapterMismatch = DiagnosticCode(
    "E0504", .badData,
    "An adapter's tensors do not fit this model: a module is missing, or a shape differs. The "
      + "adapter was trained on another model, or with other targets.")
  package static let nonFiniteAdapter = DiagnosticCode(
    "E0505", .badData,
    "An adapter holds a NaN or an infinity. Its training diverged; use an earlier checkpoint.")
  package static let adapterNotPortable = DiagnosticCode(
    "E0506", .usage,
    "The adapter works here and in merged models, and PEFT would load it wrongly: it takes the "
      + "MLPs of layers without experts for experts where a model has both.")
  package static let nonFiniteWeight = DiagnosticCode(
    "E0512", .badData,
    "A tensor of the base model holds a NaN or an infinity, so every output would be one. The file "
      + "is damaged or was converted wrongly; get it again from its source. Where a model is "
      + "written in float16, a number beyond 65,504 becomes an infinity: choose bfloat16.")

  package static let taskUnsupported = DiagnosticCode(
    "E0531", .usage,
    "The model cannot do what is asked of it: encoders such as BERT predict no next token, so they "
      + "neither chat nor are trained on conversations, and some families have no head for classes "
      + "in transformers. A recipe says what it trains by its key \"task\".")
  package static let poolerMissing = DiagnosticCode(
    "E0532", .badData,
    "BERT's head for classes reads what the pooler makes of the first token, and the model's files "
      + "have no pooler. adapter.modulesToSave with \"classifier\" and \"pooler\" draws one and "
      + "trains it with the head.")
  package static let headMissing = DiagnosticCode(
    "E0533", .usage,
    "Classes are told apart by a head that was trained: it is in the adapter of a run whose task "
      + "is \"classification\", or in a model that such an adapter was merged into.")

  package static let allModelCodes: [DiagnosticCode] = [
    unexpectedShape, badModulePattern, noTarget, adapterMismatch, nonFiniteAdapter,
    adapterNotPortable, nonFiniteWeight, taskUnsupported, poolerMissing, headMissing,
  ]
}
