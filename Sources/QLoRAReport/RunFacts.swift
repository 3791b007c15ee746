// `run.json`: what a run found out about itself before its first step, and the error that ended it,
// for those who watch it.
import QLoRADiagnostics
import QLoRAJSON

package struct RunFacts: Sendable, Equatable {
  /// A part of the memory that was planned.
  package struct Part: Sendable, Equatable {
    package var name: String
    package var bytes: Int

    package init(_ name: String, bytes: Int) {
      self.name = name
      self.bytes = bytes
    }
  }

  package var tool: String
  package var device: String
  package var threads: Int
  package var stepCount: Int
  package var trainableParameters: Int
  package var layersOnDisk: Int
  package var rows: Int
  package var tokens: Int
  package var labelledTokens: Int
  package var truncatedRows: Int
  package var droppedRows: Int
  package var validationRows: Int
  /// What adds up to the peak of a step.
  package var memory: [Part]
  /// The error that ended the run, with its code; a resumed run begins without.
  package var failure: String?

  package init(
    tool: String, device: String, threads: Int, stepCount: Int, trainableParameters: Int,
    layersOnDisk: Int, rows: Int, tokens: Int, labelledTokens: Int, truncatedRows: Int,
    droppedRows: Int, validationRows: Int, memory: [Part]
  ) {
    self.tool = tool
    self.device = device
    self.threads = threads
    self.stepCount = stepCount
    self.trainableParameters = trainableParameters
    self.layersOnDisk = layersOnDisk
    self.rows = rows
    self.tokens = tokens
    self.labelledTokens = labelledTokens
    self.truncatedRows = truncatedRows
    self.droppedRows = droppedRows
    self.validationRows = validationRows
    self.memory = memory
  }

  /// The same of a run that an error has ended.
  package func ended(by failure: Diagnostic) -> RunFacts {
    var facts = self
    facts.failure = "\(failure.code.number): \(failure.message)"
    return facts
  }

  package var plannedBytes: Int { memory.reduce(0) { $0 + $1.bytes } }

  package var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("tool", .string(tool)), ("device", .string(device)), ("threads", .int(threads)),
      ("steps", .int(stepCount)), ("trainableParameters", .int(trainableParameters)),
      ("layersOnDisk", .int(layersOnDisk)), ("rows", .int(rows)), ("tokens", .int(tokens)),
      ("labelledTokens", .int(labelledTokens)), ("truncatedRows", .int(truncatedRows)),
      ("droppedRows", .int(droppedRows)), ("validationRows", .int(validationRows)),
      ("plannedMemoryBytes", .dictionary(memory.map { ($0.name, .int($0.bytes)) })),
    ]
    if let failure { members.append(("failure", .string(failure))) }
    return .dictionary(members)
  }

  /// Reads the file of any version; what it does not say is 0.
  package init(json: JSONValue) {
    func count(_ key: String) -> Int { json[key]?.intValue ?? 0 }
    tool = json["tool"]?.stringValue ?? ""
    device = json["device"]?.stringValue ?? ""
    threads = count("threads")
    stepCount = count("steps")
    trainableParameters = count("trainableParameters")
    layersOnDisk = count("layersOnDisk")
    rows = count("rows")
    tokens = count("tokens")
    labelledTokens = count("labelledTokens")
    truncatedRows = count("truncatedRows")
    droppedRows = count("droppedRows")
    validationRows = count("validationRows")
    memory = (json["plannedMemoryBytes"]?.objectMembers ?? []).map {
      Part($0.key, bytes: $0.value.intValue ?? 0)
    }
    failure = json["failure"]?.stringValue
  }
}
