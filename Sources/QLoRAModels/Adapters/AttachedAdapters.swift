// Adapters that can be taken off a model and put back, while its weights stay where they are.
import QLoRATensor

/// One low-rank pair, or none, for every linear of a model, and modules that were trained as a
/// whole.
package struct AttachedAdapters {
  fileprivate let pairs: [LowRankAdapter?]
  fileprivate let parameters: [Parameter]
  fileprivate let norms: [TrainedNorm?]
  fileprivate let tables: TrainedTables
}

extension DecoderModel {
  /// What is on the model now; setting it exchanges references and copies nothing.
  package var attachedAdapters: AttachedAdapters {
    get {
      var norms: [TrainedNorm?] = []
      forEachNorm { norms.append($0.trained) }
      return AttachedAdapters(
        pairs: linears.map(\.adapter), parameters: parameters, norms: norms, tables: tables)
    }
    set {
      var pairs = newValue.pairs[...]
      forEachLinear { $0.adapter = pairs.popFirst() ?? nil }
      var norms = newValue.norms[...]
      forEachNorm { $0.trained = norms.popFirst() ?? nil }
      tables = newValue.tables
      parameters = newValue.parameters
    }
  }
}
