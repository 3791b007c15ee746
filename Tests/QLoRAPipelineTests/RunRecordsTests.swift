// What a run leaves for those who watch it: events equal to its log, facts, answers, a report.
import Foundation
import QLoRAJSON
import QLoRAPipeline
import QLoRAReport
import QLoRASystem
import QLoRATraining
import TestSupport
import Testing

@Suite struct RunRecordsTests {
  private let files = PosixFileSystem()

  /// Step, tag and value of every scalar that a TensorBoard shows and that is not about time or
  /// memory.
  private func scalars(_ run: String) throws -> [String] {
    let names = try files.list(run).filter { $0.hasPrefix(EventLog.prefix) }
    let events = try names.flatMap {
      EventFileReader.events(try files.readAll(FilePath.join(run, $0))) { CRC32C.masked($0) }
    }
    return EventFileReader.shown(events).flatMap { event in
      event.scalars.filter { !$0.tag.contains("second") && !$0.tag.contains("memory") }
        .map { "\(event.step) \($0.tag) \($0.value)" }
    }
  }

  @Test func aFinishedRunHasEverything() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.samples=1"])
    let run = tiny.folder.path("run")
    let view = try RunView(run)
    #expect(view.state == .finished && view.step == 7 && view.stepCount == 7)
    #expect(view.samples.count == 1 && view.samples[0].row.hasPrefix("validation.jsonl:"))
    let facts = try #require(view.facts)
    #expect(facts.stepCount == 7 && facts.rows == 13 && facts.plannedBytes > 0)

    var expected: [String] = []
    for step in view.history.steps {
      expected.append("\(step.step) train/loss \(Float(step.loss))")
      expected.append("\(step.step) train/learning_rate \(Float(step.learningRate))")
      expected.append("\(step.step) train/gradient_norm \(Float(step.gradientNorm))")
      for evaluation in view.history.evaluations where evaluation.step == step.step {
        expected.append("\(step.step) eval/loss \(Float(evaluation.loss))")
      }
    }
    #expect(try scalars(run) == expected)

    let page = String(decoding: try files.readAll(run + "/report.html"), as: UTF8.self)
    for part in ["Learning rate", "Gradient norm", "finished", "Memory", "Model card", "before"] {
      #expect(page.contains(part), "\(part)")
    }
    #expect(!page.contains("<script") && !page.contains("://"))
    let card = try #require(view.card)
    #expect(card.contains("| validation loss |") && card.contains("| data | train.jsonl |"))
  }

  @Test func anInterruptedRunIsReportedAndResumesToOneCurve() throws {
    let tiny = try TinyRun()
    try tiny.train("whole")
    let stop = StopAfter(polls: 11)
    try tiny.train("run", interruption: stop.poll)
    let run = tiny.folder.path("run")
    #expect(try RunView(run).state == .interrupted)
    #expect(try RunView(run).samples.isEmpty)
    let page = String(decoding: try files.readAll(run + "/report.html"), as: UTF8.self)
    #expect(page.contains("interrupted"))
    try tiny.resume("run")
    #expect(try scalars(run) == scalars(tiny.folder.path("whole")))
    let (view, whole) = (try RunView(run), try RunView(tiny.folder.path("whole")))
    #expect(view.samples.count == 2 && view.samples == whole.samples)
    #expect(view.card == whole.card)
  }

  @Test func aFailedRunSaysWhyUntilItIsResumed() throws {
    let tiny = try TinyRun()
    // With so steep a rate the third step's loss is no number.
    #expect(throws: (any Error).self) {
      try tiny.train("run", ["training.optimizer.learningRate=1e30"])
    }
    let run = tiny.folder.path("run")
    let view = try RunView(run)
    #expect(view.state == .failed)
    let failure = try #require(view.facts?.failure)
    #expect(failure.hasPrefix("E0601: "), "\(failure)")
    #expect(view.json["failure"] == .string(failure))
    #expect(view.summary.contains { $0.name == "error" && $0.text == failure })
    let page = String(decoding: try files.readAll(run + "/report.html"), as: UTF8.self)
    #expect(page.contains(">failed<") && page.contains("E0601: "))
  }

  @Test func noSamplesWhereNoneAreWanted() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.samples=0"])
    #expect(try RunView(tiny.folder.path("run")).samples.isEmpty)
  }

  @Test func aHostileNameStaysText() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.steps=1", "training.samples=0"])
    let run = tiny.folder.path("run")
    let recipe = String(decoding: try files.readAll(run + "/recipe.resolved.json"), as: UTF8.self)
    let evil = recipe.replacing(
      "\"name\": \"recipe\"", with: "\"name\": \"</title><script>alert(1)</script>\"")
    try Data(evil.utf8).write(to: URL(filePath: run + "/recipe.resolved.json"))
    let page = ReportPage(try RunView(run)).text
    #expect(evil != recipe && !page.contains("<script"))
  }

  @Test func listsRunsBelowAFolder() throws {
    let tiny = try TinyRun()
    try tiny.train("runs/one", ["training.steps=1", "training.samples=0"])
    try tiny.train("runs/deeper/two", ["training.steps=1", "training.samples=0"])
    try files.makeDirectories(tiny.folder.path("runs/none"))
    let folder = tiny.folder.path("runs")
    #expect(RunView.runs(below: folder) == [folder + "/deeper/two", folder + "/one"])
    #expect(RunView.runs(below: folder + "/one") == [folder + "/one"])
    #expect(RunView.runs(below: folder + "/absent").isEmpty)
    let held = try RunDirectory(resuming: folder + "/one")
    #expect(try RunView(held.path).state == .running)
  }
}
