// A recipe's cached samples, and the batches that a run makes of them.
import QLoRAData
import QLoRADiagnostics
import QLoRAImage
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import QLoRATraining

struct ImageRunData {
  let files: LatentFiles
  /// A row stands for a sample, whose place among the files is its token.
  private let train: EncodedRows
  /// Places of samples.
  let validation: [Int]
  let report: EncodingReport
  private let settings: BatchSettings
  let plan: BatchPlan
  private let names: [String]

  /// - Throws: diagnostics naming folder, file and tensor.
  init(_ recipe: Recipe, _ size: ImageModelSize) throws {
    let sources = recipe.data.train + recipe.data.validation
    files = try LatentFiles(sources.map { ($0.path, $0.limit) }, size)
    let rows = files.samples.enumerated().map { place, sample in
      EncodedRow(
        tokens: [Int32(place), Int32(place)], labels: [untrainedLabel, Int32(place)],
        source: sample.source, number: sample.number)
    }
    let all = Dataset(rows: EncodedRows(rows.filter { $0.source < recipe.data.train.count }))
    let split = all.split(
      validationFraction: recipe.data.validationSplit,
      seed: UInt64(bitPattern: Int64(recipe.training.seed)))
    train = split.train
    let apart = rows.filter { $0.source >= recipe.data.train.count }.map { Int($0.tokens[0]) }
    validation = try apart + (0..<split.validation.count).map {
      Int(try split.validation.row($0).tokens[0])
    }
    var settings = recipe.batchSettings
    settings.packing = false
    self.settings = settings
    plan = BatchPlan(rows: train, settings: settings)
    names = recipe.data.train.map { FilePath.lastComponent(of: $0.path) }
    var report = EncodingReport()
    report.rows = rows.count
    report.encodedRows = train.count
    report.labelledTokens = train.count
    for index in 0..<train.count {
      report.tokens += files.samples[Int(try train.row(index).tokens[0])].rowCount
    }
    self.report = report
  }

  /// Of the contents of all files, in their order.
  func digest() throws -> Digest {
    // One file at a time: there may be more than a process may hold open.
    let digests = try files.samples.map {
      "\(try Digest(ofContents: [InputFile(path: $0.path)]))"
    }
    return Digest(of: digests.joined(separator: "\n").utf8)
  }

  var validationBatches: [TokenBatch] {
    stride(from: 0, to: validation.count, by: settings.batchSize).map { start in
      let end = min(validation.count, start + settings.batchSize)
      return files.batch(Array(validation[start..<end]))
    }
  }

  /// As large as a micro-batch can get.
  var largestBatch: TokenBatch {
    let places = files.samples.indices.sorted {
      (files.samples[$1].rowCount, $0) < (files.samples[$0].rowCount, $1)
    }
    return files.batch(Array(places.prefix(settings.batchSize)))
  }
}

extension ImageRunData: BatchSource {
  var stepCount: Int { plan.stepCount }

  func microBatches(step: Int) throws -> [TokenBatch] {
    try plan.members(step: step).map { sequences in
      files.batch(try sequences.joined().map { Int(try train.row($0).tokens[0]) })
    }
  }

  func rowNames(step: Int) -> [[String]] {
    plan.members(step: step).map { sequences in
      sequences.joined().map { index in
        let source = train.source(index)
        let name = names.indices.contains(source) ? names[source] : "data"
        return "\(name): sample \(train.number(index))"
      }
    }
  }
}
