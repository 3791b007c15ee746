// The axes along which a run can differ, and the combinations that are tried: every value alone,
// every pair of values, and a seeded choice of the rest.
import QLoRAPipeline
import QLoRATraining
import TestSupport
import Testing

/// Where a run is cut.
enum Cut: String, CaseIterable {
  case firstStep, midAccumulation, midEpoch, epochEnd, evaluation, beforeEvaluation, afterSave
}

struct ResumeCase: CustomTestStringConvertible, Hashable {
  /// `--set` arguments of each axis but the last.
  static let axes: [[[String]]] = [
    [
      ["type=adamw", "weightDecay=0.1"], ["type=adamw8bit"], ["type=lion", "beta2=0.99"],
      ["type=lion8bit"], ["type=pagedadamw8bit"],
      ["type=pagedlion"], ["type=sgd"], ["type=sgd", "momentum=0.9"],
    ].map { $0.map { "training.optimizer." + $0 } },
    ["cosine", "linear", "constant"].map { ["training.schedule.type=\($0)"] },
    [["data.packing=false"], ["data.packing=true", "data.maxTokens=64"]],
    [1, 3, 4].map { ["training.gradientAccumulation=\($0)"] },
    [
      ["adapter.dropout=0.1"], ["adapter.dropout=0"],
      ["adapter.dropout=0", "training.neftuneAlpha=5"],
      ["adapter.dropout=0.1", "data.train.0.weight=1.3"],
    ],
    ["float32", "bfloat16", "float16"].map { ["model.computeDType=\($0)"] },
    ["nf4", "none"].map { ["model.quantization.type=\($0)"] },
    ["none", "full"].map { ["training.activationMemory=\($0)"] },
    Cut.allCases.map { [$0.rawValue] },
  ]

  /// An index into each axis.
  let choice: [Int]

  /// Everything but the cut, in which runs agree that can be compared.
  var settings: [String] {
    zip(Self.axes, choice).dropLast().flatMap { $0[$1] }
      // Wide enough for states in 8 bits, long enough for an epoch's end.
      + [
        "adapter.rank=64", "training.steps=14", "training.evalEvery=2", "training.saveEvery=2",
      ]
  }

  var cut: Cut { Cut.allCases[choice[choice.count - 1]] }

  /// Threads of the stretch that is cut; the uninterrupted run has one.
  var threads: Int { [1, 2, 4][choice.reduce(0, +) % 3] }

  var testDescription: String { settings.dropLast(4).joined(separator: " ") + " \(cut)" }

  /// Every value of every axis beside the first values of the others.
  static var single: [ResumeCase] {
    let first = axes.map { _ in 0 }
    return axes.indices.flatMap { axis in
      axes[axis].indices.map { value in
        var choice = first
        choice[axis] = value
        return ResumeCase(choice: choice)
      }
    }
  }

  /// Cases in which every pair of values of two axes comes up, found greedily.
  static var pairwise: [ResumeCase] {
    struct Pair: Hashable { let axes: [Int], values: [Int] }
    func pairs(_ choice: [Int]) -> [Pair] {
      axes.indices.flatMap { one in
        axes.indices.filter { $0 > one }.map {
          Pair(axes: [one, $0], values: [choice[one], choice[$0]])
        }
      }
    }
    var generator = SeededGenerator(seed: 5)
    var open: Set<Pair> = []
    for one in axes.indices {
      for other in axes.indices where other > one {
        for value in axes[one].indices {
          for second in axes[other].indices {
            open.insert(Pair(axes: [one, other], values: [value, second]))
          }
        }
      }
    }
    var cases: [ResumeCase] = []
    while !open.isEmpty {
      let candidates = (0..<50).map { _ in random(&generator) }
      let best = candidates.max { left, right in
        open.intersection(pairs(left)).count < open.intersection(pairs(right)).count
      }
      guard let best, !open.isDisjoint(with: pairs(best)) else { continue }
      open.subtract(pairs(best))
      cases.append(ResumeCase(choice: best))
    }
    return cases
  }

  private static func random(_ generator: inout SeededGenerator) -> [Int] {
    axes.map { Int.random(in: 0..<$0.count, using: &generator) }
  }

  /// All of the above and seeded ones up to `count`, each once.
  static func all(_ count: Int) -> [ResumeCase] {
    var generator = SeededGenerator(seed: 6)
    var cases: [ResumeCase] = []
    var seen: Set<ResumeCase> = []
    for next in single + pairwise where seen.insert(next).inserted { cases.append(next) }
    while cases.count < count {
      let next = ResumeCase(choice: random(&generator))
      if seen.insert(next).inserted { cases.append(next) }
    }
    return cases
  }
}

/// Finds the poll at which a run stops, from what an uninterrupted run did between its polls.
final class PollRecorder {
  private struct Place {
    var step: Int
    var tokens: Int
    var microBatch: Int
    var isEvaluating: Bool
    var isBehindSave: Bool
  }

  private var places: [Place] = []
  private var place = Place(
    step: 0, tokens: 0, microBatch: -1, isEvaluating: false, isBehindSave: false)
  private var epochTokens = Int.max

  func poll() -> Int32? {
    places.append(place)
    place.microBatch += 1
    place.isBehindSave = false
    return nil
  }

  func note(_ event: RunEvent) {
    switch event {
    case .prepared(let summary): epochTokens = summary.report.tokens
    case .training(.step(let metrics)):
      place.step = metrics.step
      place.tokens += metrics.tokens
      place.microBatch = -1
      place.isEvaluating = metrics.step % 2 == 0
    case .training(.evaluation):
      place.microBatch = -1
      place.isEvaluating = false
    case .training(.checkpointSaved): place.isBehindSave = true
    default: break
    }
  }

  /// How many polls come before the one at which to stop; a run with one micro-batch in a step, or
  /// one in an evaluation, has no place within it and is cut before it.
  func polls(before cut: Cut) -> Int? {
    let place = places.firstIndex { place in
      switch cut {
      case .firstStep: place.step == 0 && place.microBatch == 0
      case .midAccumulation: place.step == 3 && place.microBatch >= 1
      case .midEpoch: place.step == 1
      case .epochEnd: place.tokens >= epochTokens
      case .beforeEvaluation: place.isEvaluating && place.microBatch == -1
      case .evaluation: place.isEvaluating && place.microBatch >= 0
      case .afterSave: place.isBehindSave
      }
    }
    if let place { return place }
    return switch cut {
    case .midAccumulation: polls(before: .midEpoch)
    case .evaluation: polls(before: .beforeEvaluation)
    default: nil
    }
  }
}
