// What a decoder asks of its blocks, and what a forward pass needs beside its input.

import QLoRATensor

/// What a forward pass needs besides its input: where tokens stand and how they attend.
struct ForwardContext {
  var positions: [Int32]
  var attention: AttentionContext
  /// nil for blocks that look at nothing but their own rows.
  var memory: ReadMemory?
  var rotary: RotaryTables
  var activationDType: DType
  /// nil = no dropout (evaluation, generation).
  var dropout: DropoutContext?
}

/// Whom a token may attend to.
enum AttentionContext {
  /// Causally inside `bounds[i] ..< bounds[i+1]` of the packed rows.
  case packed(bounds: [Int])
  /// To everything in the cache, which the new tokens join.
  case cached(KeyValueCache)
}

/// One layer of a decoder: forward code and its weights.
protocol DecoderBlock: Sendable {
  /// This block's place in the key-value cache.
  var index: Int { get }

  /// `[tokens, hidden]` to `[tokens, hidden]`, keeping what `policy` says until backward. Every
  /// policy gives the same bits.
  ///
  /// A checkpoint ends before the last linear of each half: no gradient needs what those put out,
  /// so backward never multiplies by them again.
  func forward(
    _ input: Variable, _ context: ForwardContext, keeping policy: ActivationPolicy, on tape: Tape
  ) -> Variable

  /// Visits every linear in the order in which PEFT lists their parameters, which is the order of
  /// loading.
  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows

  /// Visits every norm in the order of a forward pass.
  mutating func forEachNorm(_ body: (inout Norm) throws -> Void) rethrows

  /// Every matrix by module, in the order of loading.
  var weights: [(module: String, weight: any PreparedWeight)] { get }
}

extension DecoderBlock {
  /// As `forward(keeping:)`; where the policy says so, the input then waits outside of the device.
  func forward(
    _ input: Variable, _ context: ForwardContext, settingAside policy: ActivationPolicy,
    on tape: Tape
  ) -> Variable {
    let output = forward(input, context, keeping: policy, on: tape)
    if policy == .outside, tape.isRecording { tape.backend.setAside(input.value) }
    return output
  }

  var linears: [AdaptedLinear] {
    var (copy, linears) = (self, [AdaptedLinear]())
    copy.forEachLinear { linears.append($0) }
    return linears
  }

  var norms: [Norm] {
    var (copy, norms) = (self, [Norm]())
    copy.forEachNorm { norms.append($0) }
    return norms
  }

  /// Of frozen norms.
  var normBytes: Int { norms.reduce(0) { $0 + $1.byteCount } }

  func residual(
    _ residual: Variable, _ change: Variable, _ postNorm: Norm?, scale: Float = 1, _ tape: Tape
  ) -> Variable {
    let change = postNorm.map { tape.normalize(change, $0) } ?? change
    return tape.add(residual, tape.scaled(change, by: scale))
  }
}

/// What the last part of a block reads: values, and where tokens went if they went to experts.
struct Expansion {
  var values: [Variable]
  var routing: Routing?
}

extension Tape {
  /// As `checkpoint`, for a body whose values come with a routing, which is the same in every run.
  func checkpointed(
    _ input: Variable, _ body: @escaping (Tape, Variable) -> Expansion
  ) -> Expansion {
    var routing: Routing?
    let values = checkpoint(input) { tape, input in
      let expansion = body(tape, input)
      routing = expansion.routing
      return expansion.values
    }
    return Expansion(values: values, routing: routing)
  }
}
