// Reads adapter_config.json. Unknown members are other methods' settings and are passed over;
// known ones that would change what the adapter computes are refused unless they are supported.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

extension PEFTAdapterConfig {
  private static let maximumFileBytes = 1 << 20

  /// - Throws: `adapterMissing`, or `adapterConfig` with the member at fault.
  package init(path: String) throws(Diagnostic) {
    guard
      let file = try InputFile.openIfPresent(
        FilePath.lastComponent(of: path), in: FilePath.parent(of: path))
    else {
      throw Diagnostic(
        .adapterMissing, "the adapter's \(Self.fileName) is not there", at: .file(path),
        remedy: "give the folder that PEFT or this program saved the adapter in")
    }
    let json = try JSONValue.read(file, limit: Self.maximumFileBytes, code: .adapterConfig)
    try self.init(json: json, path: path)
  }

  package init(json: JSONValue, path: String) throws(Diagnostic) {
    func failure(_ key: String, _ expected: String) -> Diagnostic {
      let member = json.objectMembers?.first { $0.key == key }
      let message =
        "\"\(key)\" must be \(expected), found \(member?.value.kindName ?? "nothing")"
      guard let place = member?.position else {
        return Diagnostic(.adapterConfig, message, at: .file(path))
      }
      return Diagnostic(
        .adapterConfig, message,
        at: .position(file: path, line: place.line, column: place.column))
    }
    func value(_ key: String) -> JSONValue? {
      guard let value = json[key], !value.isNull else { return nil }
      return value
    }
    func flag(_ key: String) throws(Diagnostic) -> Bool {
      guard let found = value(key) else { return false }
      guard let flag = found.boolValue else { throw failure(key, "true or false") }
      return flag
    }
    guard value("peft_type")?.stringValue == "LORA" else { throw failure("peft_type", "\"LORA\"") }
    guard let rank = value("r")?.intValue, rank > 0 else {
      throw failure("r", "a positive integer")
    }
    guard let alpha = value("lora_alpha")?.doubleValue, alpha.isFinite else {
      throw failure("lora_alpha", "a number")
    }
    for key in ["fan_in_fan_out", "lora_bias", "use_dora", "use_qalora"] where try flag(key) {
      throw failure(key, "false; this program does not apply it")
    }
    self.init(
      baseModel: value("base_model_name_or_path")?.stringValue, rank: rank, alpha: alpha,
      dropout: value("lora_dropout")?.doubleValue ?? 0, targets: .list([]),
      usesRankStabilizedScale: try flag("use_rslora"),
      bias: value("bias")?.stringValue ?? "none", layersPattern: nil,
      taskType: value("task_type")?.stringValue)
    switch value("target_modules") {
    case .string(let pattern): targets = .pattern(pattern)
    case let found?:
      guard let names = Self.strings(found) else {
        throw failure("target_modules", "a list of names or a pattern")
      }
      targets = .list(names)
    case nil: break
    }
    excludesModules = value("exclude_modules") != nil
    ensuresWeightTying = try flag("ensure_weight_tying")
    modulesToSave = value("modules_to_save").flatMap(Self.strings) ?? []
    layersToTransform = value("layers_to_transform").flatMap { found in
      found.intValue.map { [$0] } ?? found.arrayValue?.compactMap(\.intValue)
    }
    layersPattern =
      value("layers_pattern")?.stringValue
      ?? value("layers_pattern").flatMap(Self.strings)?.first
    for member in value("rank_pattern")?.objectMembers ?? [] {
      guard let rank = member.value.intValue, rank > 0 else {
        throw failure("rank_pattern", "an object of positive integers")
      }
      rankPattern[member.key] = rank
    }
    for member in value("alpha_pattern")?.objectMembers ?? [] {
      guard let alpha = member.value.doubleValue, alpha.isFinite else {
        throw failure("alpha_pattern", "an object of numbers")
      }
      alphaPattern[member.key] = alpha
    }
  }

  private static func strings(_ value: JSONValue) -> [String]? {
    guard let values = value.arrayValue else { return nil }
    let strings = values.compactMap(\.stringValue)
    return strings.count == values.count ? strings : nil
  }
}
