// The head that tells classes apart: a frozen pooler where the family has one, and linears that are
// trained as a whole beside the adapters.

import QLoRAFormats
import QLoRARandom
import QLoRATensor

/// What is asked of a model that tells classes apart.
package struct ClassOptions: Sendable, Hashable {
  package var count: Int
  /// Whether the pooler is trained as a whole too, instead of by an adapter.
  package var trainsPooler: Bool

  package init(count: Int, trainsPooler: Bool = false) {
    self.count = count
    self.trainsPooler = trainsPooler
  }
}

package struct Classifier: Sendable {
  /// A linear that is trained as a whole.
  struct Layer: Sendable {
    /// As files call it.
    let name: String
    /// `[out, in]`.
    let shape: Shape
    let hasBias: Bool

    /// Names and shapes of its tensors in files.
    var tensors: [(name: String, shape: Shape)] {
      [(name + ".weight", shape)] + (hasBias ? [(name + ".bias", [shape[0]])] : [])
    }
  }

  package let names: ClassifierNames
  package let options: ClassOptions
  /// nil where the family has none or it is trained as a whole.
  var pooler: AdaptedLinear?
  let layers: [Layer]
  /// What files have of the layers, by name.
  let stored: [String: Tensor]
  /// One for each layer; empty until values are known.
  var trained: [TrainedLinear] = []

  init(
    _ names: ClassifierNames, hidden: Int, _ options: ClassOptions, pooler: AdaptedLinear?,
    stored: [String: Tensor]
  ) {
    self.names = names
    self.options = options
    self.pooler = pooler
    self.stored = stored
    layers = Self.layers(names, hidden: hidden, options)
    // A file that has the whole head needs no training to be used.
    let parts = layers.flatMap(\.tensors)
    if parts.allSatisfy({ stored[$0.name] != nil }) {
      make { name, shape in stored[name] ?? Tensor(zeros: shape) }
    }
  }

  static func layers(
    _ names: ClassifierNames, hidden: Int, _ options: ClassOptions
  ) -> [Layer] {
    let pooler = options.trainsPooler ? [names.pooler].compactMap { $0 } : []
    let all = pooler + names.layers
    return all.enumerated().map { index, name in
      let outs = index == all.count - 1 ? options.count : hidden
      let hasBias = names.hasBias || pooler.contains(name)
      return Layer(name: name, shape: [outs, hidden], hasBias: hasBias)
    }
  }

  package var parameters: [Parameter] { trained.flatMap(\.parameters) }

  /// PEFT's list of modules that are saved whole.
  package var modulesToSave: [String] {
    [names.module] + (options.trainsPooler ? [ClassifierNames.poolerWord] : [])
  }

  package var layerNames: [String] { layers.map(\.name) }

  /// Every tensor of the head under its name in files; empty until values are known.
  package var tensors: [(name: String, tensor: Tensor)] {
    zip(layers, trained).flatMap { layer, trained in
      zip(layer.tensors, trained.parameters).map { ($0.name, $1.value) }
    }
  }

  /// - Parameters:
  ///   - value: of a tensor by name and shape.
  ///   - gradient: memory for its gradient.
  mutating func make(
    gradient: (Shape) -> Tensor = { Tensor(zeros: $0) },
    _ value: (_ name: String, Shape) -> Tensor
  ) {
    trained = layers.map { layer in
      let parameters = layer.tensors.map { name, shape in
        Parameter(
          name: "base_model.model." + name, value: value(name, shape), gradient: gradient(shape))
      }
      return TrainedLinear(
        weight: parameters[0], bias: parameters.count > 1 ? parameters[1] : nil)
    }
  }

  /// What the file has, and the rest drawn as transformers draws it: normal deviates times 0.02,
  /// biases zero.
  func initialValue(_ name: String, _ shape: Shape, seed: UInt64) -> Tensor {
    if let tensor = stored[name] { return Tensor(tensor.floats(), shape: shape) }
    if name.hasSuffix(".bias") { return Tensor(zeros: shape) }
    let deviation = 0.02
    var random = SplitMix64(seed: seed, name: name)
    return Tensor((0..<shape.count).map { _ in Float(deviation * random.normal()) }, shape: shape)
  }

  /// The rows that the head reads, one of each text.
  func rows(_ bounds: [Int]) -> [Int32] {
    zip(bounds, bounds.dropFirst()).map { Int32(names.readsFirstToken ? $0 : $1 - 1) }
  }
}

extension Tape {
  /// Logits `[texts, classes]` float32 of hidden states `[tokens, hidden]`.
  func classify(
    _ hidden: Variable, bounds: [Int], _ classifier: Classifier, dropout: DropoutContext?
  ) -> Variable {
    var state = pick(hidden, classifier.rows(bounds))
    if let pooler = classifier.pooler {
      state = apply(.tanh, to: linears(state, [pooler], dtype: .float32, dropout: dropout)[0])
    }
    for (index, layer) in classifier.trained.enumerated() {
      if index > 0 { state = apply(classifier.names.activation, to: state) }
      state = linear(state, layer)
    }
    return state
  }
}
