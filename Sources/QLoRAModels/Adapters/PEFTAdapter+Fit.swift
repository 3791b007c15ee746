// Whether an adapter belongs to a model: all that does not fit is listed at once.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

extension PEFTAdapter {
  /// How many of the findings a message lists.
  private static let listedFindings = 8

  /// Compares the ranks of the tensors with those of the configuration, by which PEFT makes the
  /// modules that the tensors must fit.
  ///
  /// - Throws: `adapterKeys` listing modules whose ranks differ; `badModulePattern`.
  package func checkRanks(in folder: String) throws {
    let findings = try pairs.compactMap { pair -> String? in
      let expected = try config.rank(of: pair.module)
      return expected == pair.rank
        ? nil : "\"\(pair.module)\": expected rank \(expected), found \(pair.rank)"
    }
    guard !findings.isEmpty else { return }
    throw Diagnostic(
      .adapterKeys,
      "the tensors contradict r and rank_pattern of \(PEFTAdapterConfig.fileName): "
        + Self.list(findings), at: .file(folder),
      remedy: "use both files of one adapter as they were saved together")
  }

  private static func list(_ findings: [String]) -> String {
    let rest = findings.count - listedFindings
    return findings.prefix(listedFindings).joined(separator: "; ")
      + (rest > 0 ? "; and \(rest) more" : "")
  }

  /// - Throws: as `checkFit` below, for the linears of a model's files.
  package func checkFit(_ source: ModelSource) throws {
    let suffix = ".weight"
    let linears = source.weights.names.filter { $0.hasSuffix(suffix) }
      .map { String($0.dropLast(suffix.count)) }.filter(source.config.isLinear)
    try checkFit(modules: linears) { module in
      guard source.config.isLinear(module), source.weights.contains(module + suffix) else {
        return nil
      }
      return try source.weights.shape(of: module + suffix)
    }
  }

  /// - Parameters:
  ///   - modules: the linears of the model.
  ///   - shape: `[out, in]` of a model's linear; nil for any other name.
  /// - Throws: `adapterMismatch` listing modules that the model lacks, shapes that differ and
  ///   modules that the adapter's configuration names and its weights lack; `nonFiniteAdapter`.
  package func checkFit(modules: [String], _ shape: (_ module: String) throws -> Shape?) throws {
    var findings = try pairs.compactMap { try misfit($0, try shape($0.module)) }
    let present = Set(pairs.map(\.module))
    findings += modules.filter { config.names($0) && !present.contains($0) }
      .map { "\"\($0)\": the configuration names it, the weights lack it" }
    guard findings.isEmpty else {
      throw Diagnostic(
        .adapterMismatch, "the adapter does not fit this model: \(Self.list(findings))",
        remedy: "use the base model that adapter_config.json names")
    }
    for pair in pairs {
      guard pair.a.floats().allSatisfy(\.isFinite), pair.b.floats().allSatisfy(\.isFinite) else {
        throw Diagnostic(.nonFiniteAdapter, "\"\(pair.module)\" holds a NaN or an infinity")
      }
    }
  }

  private func misfit(_ pair: Pair, _ weight: Shape?) throws -> String? {
    guard let weight else { return "\"\(pair.module)\" is no linear of the model" }
    let expected: [Shape] = [[pair.rank, weight[1]], [weight[0], pair.rank]]
    guard [pair.a.shape, pair.b.shape] != expected else { return nil }
    return "\"\(pair.module)\": expected lora_A \(expected[0]) and lora_B \(expected[1]), found "
      + "\(pair.a.shape) and \(pair.b.shape)"
  }
}

extension PEFTAdapterConfig {
  /// Whether the configuration says beyond doubt that a module has weights: patterns, chosen
  /// layers and exclusions are PEFT's to resolve.
  package func names(_ module: String) -> Bool {
    guard case .list(let names) = targets, layersToTransform == nil, !excludesModules else {
      return false
    }
    return names.contains { module == $0 || module.hasSuffix("." + $0) }
  }
}
