// What families call the head that tells classes apart, as transformers' classes
// `...ForSequenceClassification` have it.

import QLoRATensor

/// The parts behind the blocks of a model that tells classes apart.
package struct ClassifierNames: Sendable {
  /// The module that PEFT saves whole, such as `classifier`.
  package var module: String
  /// Linears inside of it from the input on; the last one has a row for each class, and behind each
  /// of the others stands `activation`.
  package var layers: [String]
  package var activation = ElementFunction.tanh
  package var hasBias: Bool
  /// A linear of the model itself in front of the head, with a tanh behind it.
  package var pooler: String?
  /// Whether the head reads a text's first token; else its last.
  package var readsFirstToken: Bool

  /// What PEFT's word for modules to save calls the pooler.
  package static let poolerWord = "pooler"
}

extension ModelFamily {
  /// nil where transformers has no such class.
  package var classifier: ClassifierNames? {
    switch self {
    case .granite, .t5, .olmoe, .ernie45, .cohere, .cohere2: nil
    // Source: Devlin et al. 2019, "BERT", arXiv:1810.04805, section 4.1.
    case .bert:
      ClassifierNames(
        module: "classifier", layers: ["classifier"], hasBias: true, pooler: "bert.pooler.dense",
        readsFirstToken: true)
    case .roberta:
      ClassifierNames(
        module: "classifier", layers: ["classifier.dense", "classifier.out_proj"], hasBias: true,
        readsFirstToken: true)
    // Source: Sanh et al. 2019, "DistilBERT", arXiv:1910.01108, section 3, without a pooler. PEFT's
    // word means both linears, since the name of the first ends in it.
    case .distilbert:
      ClassifierNames(
        module: "classifier", layers: ["pre_classifier", "classifier"], activation: .relu,
        hasBias: true, readsFirstToken: true)
    default:
      ClassifierNames(
        module: "score", layers: ["score"], hasBias: false, readsFirstToken: false)
    }
  }
}
