// What a run leaves for those who watch it: event files, facts, answers, pictures, a report.
// Nothing depends on it, so a failure is a warning.

import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import QLoRAModels
import QLoRARecipe
import QLoRAReport
import QLoRASystem
import QLoRATraining

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct RunRecords {
  /// Tokens of an answer, enough to see what a model has learned.
  private static let longestAnswer = 64

  private let run: RunDirectory
  private let events: EventLog
  private let warn: (Diagnostic) -> Void

  init(_ run: RunDirectory, warn: @escaping (Diagnostic) -> Void) {
    self.run = run
    events = EventLog(run) { Date().timeIntervalSince1970 }
    self.warn = warn
  }

  /// What `metrics.jsonl` says so far.
  func history() throws(Diagnostic) -> RunHistory {
    RunHistory(
      metrics: try diagnosing { () throws(FileFailure) in
        try retryingInterruptions { () throws(FileFailure) in
          try run.fileSystem.readAll(run.metricsPath)
        }
      })
  }

  func note(_ event: TrainingEvent) {
    if let failure = events.note(event) { warn(failure) }
  }

  func write(_ facts: RunFacts) {
    write(run.factsPath, JSONWriter.text(facts.json, style: .indented) + "\n")
  }

  /// `loss.svg` and `report.html`.
  func draw(_ name: String, _ state: RunState) {
    do throws(Diagnostic) {
      write(run.lossChartPath, try history().lossChart(title: name).svg())
      write(run.reportPath, ReportPage(try RunView(run.path, state: state, run.fileSystem)).text)
    } catch {
      warn(error)
    }
  }

  /// Answers of the base and of the trained model to the first validation rows that have one; once
  /// for a run.
  ///
  /// - Parameter isAsked: to stop; then nothing is written.
  func sample(
    _ loaded: LoadedModel, _ rows: EncodedRows, _ recipe: Recipe, until isAsked: () -> Bool
  ) throws {
    guard (try? run.fileSystem.status(run.samplesPath)) == .some(nil) else { return }
    let names = recipe.data.validation.isEmpty ? recipe.data.train : recipe.data.validation
    let generator = Generator(loaded)
    func answer(_ prompt: [Int32]) -> String {
      generator.answer(to: prompt, maxTokens: Self.longestAnswer)
    }
    var samples: [AnswerSample] = []
    for index in 0..<rows.count where samples.count < recipe.training.samples {
      let source = names[rows.source(index)]
      let row = try rows.row(index)
      guard source.format != .text, let expected = row.lastTrained,
        expected.lowerBound > 0
      else { continue }
      if isAsked() { return }
      let prompt = Array(row.tokens[..<expected.lowerBound])
      let written = row.tokens[expected].filter { !loaded.text.endTokens.contains($0) }
      samples.append(
        AnswerSample(
          row: "\(FilePath.lastComponent(of: source.path)):\(row.number)",
          prompt: loaded.text.tokenizer.decode(prompt),
          expected: loaded.text.tokenizer.decode(written),
          base: loaded.model.withoutAdapters { answer(prompt) }, trained: answer(prompt)))
    }
    guard !samples.isEmpty else { return }
    // A device that has failed answers with what happened to be there.
    try loaded.model.backend.checkHealth()
    write(run.samplesPath, String(decoding: AnswerSample.fileBytes(samples), as: UTF8.self))
  }

  private func write(_ path: String, _ text: String) {
    do {
      try AtomicFile.write(path, Array(text.utf8), run.fileSystem)
    } catch let failure as Diagnostic {
      warn(failure)
    } catch {}
  }
}

extension RunFacts {
  init(_ summary: RunSummary, recipe: Recipe, memory: MemoryForecast) {
    self.init(
      tool: ToolVersion.text, device: summary.device,
      threads: recipe.threads > 0 ? recipe.threads : ProcessInfo.processInfo.activeProcessorCount,
      stepCount: summary.stepCount, trainableParameters: summary.trainableParameters,
      layersOnDisk: summary.layersOnDisk, rows: summary.report.encodedRows,
      tokens: summary.report.tokens, labelledTokens: summary.report.labelledTokens,
      truncatedRows: summary.report.truncated, droppedRows: summary.report.dropped,
      validationRows: summary.validationRows,
      memory: memory.parts.map { Part($0.name, bytes: $0.bytes) })
  }
}
