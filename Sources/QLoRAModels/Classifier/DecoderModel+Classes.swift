// A model that tells classes apart: its head instead of the vocabulary's.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

extension DecoderModel {
  /// Logits `[texts, classes]` float32, one text for each sequence of the batch.
  ///
  /// - Throws: `headMissing`, and where weights that wait on a disk could not be read.
  package func classLogits(_ batch: TokenBatch) throws -> Tensor {
    let tape = Tape(backend: backend, isRecording: false)
    let logits = tape.classify(
      evaluated(batch, on: tape), bounds: batch.bounds, try readyClassifier(), dropout: nil)
    try checkWeights()
    backend.synchronize()
    return logits.value
  }

  /// - Throws: `headMissing` where the model has no head, or one without values.
  private func readyClassifier() throws -> Classifier {
    guard let classifier, !classifier.trained.isEmpty else {
      throw Diagnostic(
        .headMissing, "this model has no head that tells classes apart",
        remedy: "give an adapter that was trained with \"task\": \"classification\"")
    }
    return classifier
  }

  /// The loss over a batch of a tape's own pass, with its gradient where recording.
  func classLoss(
    _ hidden: Variable, _ batch: TokenBatch, _ classifier: Classifier,
    dropout: DropoutContext?, on tape: Tape
  ) -> Double {
    let logits = tape.classify(
      hidden, bounds: batch.bounds, classifier, dropout: dropout)
    return tape.crossEntropy(logits, targets: batch.targets)
  }

  /// Sum of losses over a batch, and how many texts have their class as the most likely one; nil
  /// for a language model.
  package func evaluate(_ batch: TokenBatch) throws -> BatchEvaluation {
    guard classifier != nil else { return BatchEvaluation(lossSum: try lossSum(batch)) }
    let logits = try classLogits(batch)
    let sum = backend.crossEntropy(logits, targets: batch.targets, gradient: nil)
    let correct = zip(Self.mostLikely(logits), batch.targets).count { $0 == $1 }
    return BatchEvaluation(lossSum: sum, correct: correct)
  }

  /// The largest of each row, the first of equals.
  package static func mostLikely(_ logits: Tensor) -> [Int] {
    let (values, classes) = (logits.floats(), logits.shape[1])
    return stride(from: 0, to: values.count, by: classes).map { start in
      values[start..<start + classes].indices.reduce(start) { values[$1] > values[$0] ? $1 : $0 }
        - start
    }
  }
}

extension ModelLoader {
  /// The head that `options` ask for; nil for a language model.
  ///
  /// - Throws: `taskUnsupported` for a family without such a head, and for an encoder without one;
  ///   `poolerMissing`.
  func classifier() throws -> Classifier? {
    let config = source.config
    guard let wanted = options.classes else {
      guard !config.family.isEncoder else {
        throw Diagnostic(
          .taskUnsupported,
          "a model of type \"\(config.family.rawValue)\" is an encoder, which predicts no next "
            + "token", at: .file(source.path),
          remedy: "train it with \"task\": \"classification\" and use it with `qlora classify`")
      }
      return nil
    }
    guard let names = config.family.classifier else {
      throw Diagnostic(
        .taskUnsupported,
        "transformers has no head for classes on models of type \"\(config.family.rawValue)\"",
        at: .file(source.path), remedy: "choose a base of another family: Docs/Models.md")
    }
    var stored: [String: Tensor] = [:]
    for layer in Classifier.layers(names, hidden: config.hidden, wanted) {
      for (name, shape) in layer.tensors where source.weights.contains(name) {
        // A head of another number of classes is another head.
        guard try source.weights.shape(of: name) == shape else { continue }
        stored[name] =
          shape.rank == 1 ? try vector(name, shape[0]) : try source.weights.tensor(name)
      }
    }
    return Classifier(
      names, hidden: config.hidden, wanted,
      pooler: wanted.trainsPooler ? nil : try names.pooler.map(pooler), stored: stored)
  }

  private func pooler(_ module: String) throws -> AdaptedLinear {
    guard source.weights.contains(module + ".weight") else {
      throw Diagnostic(
        .poolerMissing, "the model's files have no \"\(module)\", which its head reads",
        at: .file(source.path),
        remedy: "set adapter.modulesToSave to [\"classifier\", \"pooler\"], which trains one")
    }
    let hidden = source.config.hidden
    return AdaptedLinear(
      name: module, weight: try weight(module, [hidden, hidden], quantized: true),
      bias: try vector(module + ".bias", hidden))
  }
}
