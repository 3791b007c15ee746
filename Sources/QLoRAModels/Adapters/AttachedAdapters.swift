// Adapters that can be taken off a model and put back, while its weights stay where they are.
import QLoRATensor

/// One low-rank pair, or none, for every linear of a model.
package struct AttachedAdapters {
  fileprivate let pairs: [LowRankAdapter?]
  fileprivate let parameters: [Parameter]
}

extension DecoderModel {
  /// What is on the model now; setting it exchanges references and copies nothing.
  package var attachedAdapters: AttachedAdapters {
    get { AttachedAdapters(pairs: linears.map(\.adapter), parameters: parameters) }
    set {
      var pairs = newValue.pairs[...]
      forEachLinear { $0.adapter = pairs.popFirst() ?? nil }
      parameters = newValue.parameters
    }
  }
}
