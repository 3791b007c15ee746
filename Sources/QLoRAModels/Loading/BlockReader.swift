// The weights of one block by their roles, for the files of the families.

import QLoRAFormats
import QLoRATensor

struct BlockReader {
  let loader: ModelLoader
  let config: ModelConfig
  let index: Int

  /// - Parameter number: of an expert or a head, where they have modules of their own.
  private func module(_ role: WeightRole, number: Int = 0) -> String {
    let stack = config.stack(ofBlock: index)
    let name = stack.modules.first { $0.role == role }?.name ?? role.rawValue
    return stack.block + "." + name.replacing("*", with: "\(number)")
  }

  /// - Throws: a diagnostic that names the missing, misshapen or non-finite tensor; so all below.
  func linear(
    _ role: WeightRole, expert: Int = 0, quantized: Bool = true
  ) throws -> AdaptedLinear {
    let (module, shape) = (module(role, number: expert), config.shape(of: role))
    return AdaptedLinear(
      name: module, weight: try loader.weight(module, shape, quantized: quantized),
      bias: config.hasBias(role) ? try loader.vector(module + ".bias", shape[0]) : nil)
  }

  /// The same linear of every expert.
  func experts(_ role: WeightRole, _ count: Int) throws -> [AdaptedLinear] {
    try (0..<count).map { try linear(role, expert: $0) }
  }

  func norm(_ role: WeightRole) throws -> Norm { try norms(role)[0] }

  /// One, or one for each head.
  private func norms(_ role: WeightRole) throws -> [Norm] {
    try (0..<config.count(of: role)).map { number in
      try loader.norm(
        module(role, number: number), config.shape(of: role)[0], config.form.form(ofNorm: role))
    }
  }

  // MARK: Halves that families share

  /// Attention with a linear each for queries, keys and values.
  func attention() throws -> SelfAttention {
    let projections = try [WeightRole.query, .key, .value].map { try linear($0) }
    return try attention(projections, fusedWidths: nil)
  }

  /// Attention with one linear for all three.
  ///
  /// - Parameter isByHead: whether each head has its three side by side, or all heads' queries come
  ///   first.
  func fusedAttention(isByHead: Bool) throws -> SelfAttention {
    let (size, heads, kvHeads) = (config.headDim, config.heads, config.kvHeads)
    return try attention(
      [linear(.queryKeyValue)],
      fusedWidths: isByHead ? [size, size, size] : [heads, kvHeads, kvHeads].map { $0 * size })
  }

  private func attention(
    _ projections: [AdaptedLinear], fusedWidths: [Int]?
  ) throws -> SelfAttention {
    let form = config.form
    let hasNorms = form.queryKeyNorm != .none
    let isWindowed = form.windowedLayers.contains(index)
    let isRotated = config.rotaryDim > 0 && !form.unrotatedLayers.contains(index)
    return SelfAttention(
      projections: projections, fusedWidths: fusedWidths,
      queryNorms: hasNorms ? try norms(.queryNorm) : [],
      keyNorms: hasNorms ? try norms(.keyNorm) : [],
      output: try linear(.attentionOutput),
      layout: AttentionLayout(
        heads: config.heads, kvHeads: config.kvHeads, headSize: config.headDim,
        scale: form.attentionScale ?? 1 / Float(config.headDim).squareRoot(),
        window: form.window(index), softCap: form.scoreCap, isCausal: form.isCausal),
      rotation: isRotated ? (isWindowed ? .windowed : .all) : .none,
      turnsNeighbours: form.turnsNeighbours, index: index)
  }

  func gatedMLP() throws -> GatedMLP {
    GatedMLP(
      inward: [try linear(.gate), try linear(.up)], down: try linear(.down),
      activation: config.form.activation)
  }

  func plainMLP() throws -> PlainMLP {
    PlainMLP(
      up: try linear(.up), down: try linear(.down), activation: config.form.activation)
  }
}
