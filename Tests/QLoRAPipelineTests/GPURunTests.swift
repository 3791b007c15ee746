// Whole runs on the simulated GPU: recipes, plans, checkpoints that move, a device that is lost.
import CUDASimulator
import Foundation
import QLoRACUDA
import QLoRADiagnostics
import QLoRAPipeline
import QLoRAServing
import QLoRATraining
import Testing

@Suite(.serialized) struct GPURunTests {
  /// On a machine whose libraries are the simulator's.
  @discardableResult
  private func onGPU<Result>(
    _ driver: qlora_cuda_driver = cuda_simulator_frail_driver().pointee,
    _ body: () throws -> Result
  ) rethrows -> Result {
    let libraries = CUDALibraries(
      driver: driver,
      compiler: cuda_simulator_compiler().pointee,
      products: cuda_simulator_products().pointee)
    return try ComputeDevice.$libraries.withValue(libraries, operation: body)
  }

  /// What a run says of itself.
  private final class Record {
    var device = ""
    var choice: String?
    var losses: [Double] = []
    var warnings: [DiagnosticCode] = []

    func note(_ event: RunEvent) {
      switch event {
      case .prepared(let summary): (device, choice) = (summary.device, summary.deviceChoice)
      case .training(.step(let metrics)): losses.append(metrics.loss)
      case .training(.warning(let warning)): warnings.append(warning.code)
      default: break
      }
    }
  }

  @Test(arguments: ["cuda", "auto"])
  func aRecipeTrainsOnTheDevice(device: String) throws {
    let tiny = try TinyRun()
    let (found, expected) = (Record(), Record())
    try onGPU { try tiny.train("gpu", ["device=\(device)"], events: found.note) }
    try tiny.train("cpu", ["device=cpu"], events: expected.note)
    #expect(found.device == "cuda (simulated device, sm_90)")
    #expect(expected.device.hasPrefix("cpu"))
    #expect(found.losses.count == 7 && expected.losses.count == 7)
    for (a, b) in zip(found.losses, expected.losses) { #expect(abs(a - b) / b <= 1e-3) }
    // Who leaves the choice open is told what was chosen; who made it, and who has none, is not.
    #expect(expected.choice == nil && (found.choice != nil) == (device == "auto"))
    #expect(found.choice?.contains("auto took simulated device (sm_90): the run needs") != false)
  }

  @Test(arguments: ["tiny-flux", "tiny-sd3"])
  func imagesTrainOnTheDevice(family: String) throws {
    let tiny = try TinyImageRun(family)
    func train(_ device: String) throws -> Record {
      let record = Record()
      let settings = [
        tiny.override("device", device), tiny.override("output", tiny.folder.path(device)),
      ]
      _ = try Pipeline.train(
        try tiny.recipe(settings), interruption: { nil }, events: record.note)
      return record
    }
    let found = try onGPU { try train("cuda") }
    let expected = try train("cpu")
    #expect(found.device == "cuda (simulated device, sm_90)")
    #expect(found.losses.count == 4 && expected.losses.count == 4)
    for (a, b) in zip(found.losses, expected.losses) { #expect(abs(a - b) / b <= 1e-4) }
    let plan = try onGPU { try Pipeline.plan(tiny.recipe([tiny.override("device", "cuda")])) }
    #expect(plan.device == found.device && plan.memory.processBytes == 0 && plan.fits)
  }

  @Test func aDeviceThatIsNotThereIsAnError() throws {
    let tiny = try TinyRun()
    guard CUDASurvey(CUDASearch(environment: [:])).libraries == nil else { return }
    let found = #expect(throws: Diagnostic.self) { try tiny.train("gpu", ["device=cuda"]) }
    #expect(found?.code == .cudaLibraryMissing && found?.code.exitCode == .usage)
    let int16 = #expect(throws: Diagnostic.self) {
      try onGPU { try tiny.train("int16", ["device=cuda", "model.computeDType=int16"]) }
    }
    #expect(int16?.message.contains("on the CPU alone") == true)
  }

  @Test func aRunMovesBetweenDevices() throws {
    let tiny = try TinyRun()
    try tiny.train("whole", ["device=cpu"])
    let record = Record()
    let stop = StopAfter(polls: 18)
    let cut = try onGPU { try tiny.train("moved", interruption: stop.poll, events: record.note) }
    #expect(cut.interrupted && record.device.hasPrefix("cuda"))
    let rest = Record()
    // This machine has no simulator's libraries, so that `auto` is its processor.
    try ComputeDevice.$libraries.withValue(nil) { try tiny.resume("moved", events: rest.note) }
    guard rest.device.hasPrefix("cpu") else { return }
    #expect(rest.warnings.contains(.deviceChanged))
    let whole = try tiny.result("whole")
    #expect(try tiny.result("moved").adapter.count == whole.adapter.count)
  }

  @Test func aPlanShowsTheDevicesMemory() throws {
    let tiny = try TinyRun()
    let plan = try onGPU { try Pipeline.plan(tiny.recipe("plan", ["device=cuda"])) }
    #expect(plan.device == "cuda (simulated device, sm_90)")
    #expect(plan.memoryLimitBytes.map { $0 <= 1 << 30 && $0 > 1 << 29 } == true)
    #expect(plan.memory.processBytes == 0 && plan.memory.step.poolBytes > 0 && plan.fits)
    let steps = try ["full", "host"].map { memory in
      let settings = ["device=cuda", "training.activationMemory=\(memory)"]
      return try onGPU { try Pipeline.plan(tiny.recipe("plan", settings)).memory.step }
    }
    #expect(steps[0].outsideBytes == 0 && steps[1].outsideBytes > 0)
    #expect(steps[1].activationBytes < steps[0].activationBytes)
  }

  private func answer(
    _ tiny: TinyRun, device: String, computeDType: String, temperature: Double = 0,
    note: @escaping (String) -> Void = { _ in }
  ) throws -> GenerationReport {
    var options = GenerationOptions()
    options.prompt = "Dim the lights"
    options.usesTemplate = false
    options.answer.maxTokens = 24
    options.answer.sampling.temperature = temperature
    options.answer.sampling.seed = 5
    return try Pipeline.generate(
      BaseOptions(
        model: tiny.modelPath, adapter: nil, quantization: "nf4", computeDType: computeDType,
        threads: 1, device: device, note: note), options, emit: { _ in })
  }

  @Test(arguments: [0, 0.7])
  func theDeviceAnswersAsTheProcessor(temperature: Double) throws {
    let tiny = try TinyRun()
    var notes: [String] = []
    let found = try onGPU {
      try answer(
        tiny, device: "auto", computeDType: "float32", temperature: temperature,
        note: { notes.append($0) })
    }
    let expected = try answer(
      tiny, device: "cpu", computeDType: "float32", temperature: temperature)
    #expect(found.text == expected.text && found.generatedTokens == expected.generatedTokens)
    #expect(notes.count == 1 && notes.first?.contains("--device cpu") == true)
    let rounded = try onGPU {
      try answer(tiny, device: "cuda", computeDType: "bfloat16", temperature: temperature)
    }
    #expect(rounded.generatedTokens > 0)
  }

  @Test func aModelThatDoesNotFitIsAnsweredElsewhere() throws {
    let tiny = try TinyRun()
    cuda_simulator_set_memory(1 << 16)
    defer { cuda_simulator_set_memory(1 << 30) }
    let found = #expect(throws: Diagnostic.self) {
      try onGPU { try answer(tiny, device: "cuda", computeDType: "float32") }
    }
    #expect(found?.code == .deviceMemoryExhausted && found?.code.exitCode == .wouldNotFit)
    #expect(found?.message.contains("passes without gradients") == true)
    var notes: [String] = []
    _ = try onGPU {
      try answer(tiny, device: "auto", computeDType: "float32", note: { notes.append($0) })
    }
    #expect(notes.first?.hasPrefix("device auto took the processor: the model needs") == true)
  }

  @Test func aRunThatDoesNotFitIsRefused() throws {
    let tiny = try TinyRun()
    cuda_simulator_set_memory(20 << 20)
    defer { cuda_simulator_set_memory(1 << 30) }
    let found = #expect(throws: Diagnostic.self) {
      try onGPU { try tiny.train("gpu", ["device=cuda"]) }
    }
    #expect(found?.code == .deviceMemoryExhausted && found?.code.exitCode == .wouldNotFit)
    #expect(found?.message.contains("workspace") == true && found?.remedy != nil)
    // Whoever leaves the choice open gets the processor.
    let record = Record()
    try onGPU { try tiny.train("auto", events: record.note) }
    #expect(record.device.hasPrefix("cpu"))
    #expect(record.choice?.hasPrefix("device auto took the processor: the run needs") == true)
  }

  @Test(arguments: ["adamw8bit", "lion"])
  func pagedStatesGiveTheSameBits(optimizer: String) throws {
    let tiny = try TinyRun()
    let settings = ["device=cuda", "training.steps=2", "training.gradientAccumulation=1"]
    try onGPU {
      for (name, type) in [("paged", "paged" + optimizer), ("plain", optimizer)] {
        try tiny.train(name, settings + ["training.optimizer.type=" + type])
      }
    }
    #expect(try tiny.result("paged").adapter == tiny.result("plain").adapter)
  }

  @Test func aLostDeviceNamesTheLastCheckpoint() throws {
    let tiny = try TinyRun()
    let settings = ["device=cuda"]
    try onGPU { try tiny.train("whole", settings) }
    defer { cuda_simulator_lose_after(-1) }
    let loseSoon = { (event: RunEvent) in
      guard case .training(.checkpointSaved(step: 4, path: _, seconds: _)) = event else { return }
      cuda_simulator_lose_after(40)
    }
    let found = #expect(throws: Diagnostic.self) {
      try onGPU { try tiny.train("lost", settings, events: loseSoon) }
    }
    #expect(found?.code == .deviceLost && found?.code.exitCode == .stoppedResumable)
    #expect(found?.message.contains("the last checkpoint is of step 4") == true)
    cuda_simulator_lose_after(-1)
    try onGPU { try tiny.resume("lost") }
    #expect(try tiny.result("lost") == tiny.result("whole"))
  }

  /// The adapter is there already; answers that nobody computed are not put beside it.
  @Test func aDeviceLostAfterTrainingLeavesNoAnswers() throws {
    let tiny = try TinyRun()
    defer { cuda_simulator_lose_after(-1) }
    let found = #expect(throws: Diagnostic.self) {
      try onGPU {
        try tiny.train(
          "run", ["device=cuda"],
          events: { if case .exported = $0 { cuda_simulator_lose_after(20) } })
      }
    }
    #expect(found?.code == .deviceLost)
    let samples = { FileManager.default.fileExists(atPath: tiny.folder.path("run/samples.jsonl")) }
    #expect(!samples())
    cuda_simulator_lose_after(-1)
    try onGPU { try tiny.resume("run") }
    #expect(samples())
  }

  /// The device is lost while a request is answered: that one, those that wait and those that come
  /// are told, and the server's work ends.
  @Test func aServerEndsWithItsDevice() throws {
    let tiny = try TinyRun()
    let base = BaseOptions(
      model: tiny.modelPath, adapter: nil, quantization: "nf4", computeDType: "float32",
      threads: 1, device: "cuda")
    let model = try onGPU { try Pipeline.loadSwitched(base, []) }
    let server = ModelServer(
      ServedText(model), queue: JobQueue(capacity: 4), key: nil, isLocal: true)
    let body = #"{"model": "model", "prompt": "Dim the lights"}"#
    let request = LocalRequest(
      method: "POST", path: "/v1/completions", contentType: "application/json",
      body: .bytes(Array(body.utf8)))
    func status(_ request: LocalRequest) -> Int {
      guard case .whole(let response) = server.answer(request) else { return 200 }
      return response.status
    }
    let waiting = (0..<2).map { _ in server.answer(request) }
    #expect(status(LocalRequest(path: "/health")) == 200)
    cuda_simulator_lose_after(10)
    defer { cuda_simulator_lose_after(-1) }
    let found = #expect(throws: Diagnostic.self) {
      try server.work(with: model, until: { false })
    }
    #expect(found?.code == .deviceLost && found?.remedy?.contains("resume") == false)
    #expect(status(LocalRequest(path: "/health")) == 503 && status(request) == 503)
    withExtendedLifetime(waiting) {}
  }

  /// What does not fit is planned all the same: the table says what is too much.
  @Test(arguments: ["text", "images"])
  func aRunThatDoesNotFitIsPlanned(kind: String) throws {
    cuda_simulator_set_memory(20 << 20)
    defer { cuda_simulator_set_memory(1 << 30) }
    let plan = try onGPU {
      if kind == "text" {
        let tiny = try TinyRun()
        return try Pipeline.plan(tiny.recipe("plan", ["device=cuda"]))
      }
      let tiny = try TinyImageRun("tiny-flux")
      return try Pipeline.plan(tiny.recipe([tiny.override("device", "cuda")]))
    }
    #expect(!plan.fits && plan.problem?.code == .deviceMemoryExhausted)
    let memory = plan.memory
    #expect(memory.parts.reduce(0) { $0 + $1.bytes } == memory.trainingPeakBytes)
    #expect(memory.parts.contains { $0.key == "slack" && $0.bytes == 64 << 20 })
  }

  /// Memory that others take between a look at what is free and the first that is asked for.
  @Test func memoryThatEndsInARunLeavesTheCheckpoint() throws {
    let tiny = try TinyRun()
    let stop = StopAfter(polls: 18)
    defer { cuda_simulator_set_memory(1 << 30) }
    let cut = try onGPU {
      try tiny.train("cut", ["device=cuda"], interruption: stop.poll)
    }
    #expect(cut.interrupted)
    var driver = cuda_simulator_frail_driver().pointee
    driver.memory_info = { free, total in
      (free.pointee, total.pointee) = (1 << 30, 1 << 30)
      return 0
    }
    cuda_simulator_set_memory(1 << 20)
    let found = #expect(throws: Diagnostic.self) {
      try onGPU(driver) { try tiny.resume("cut") }
    }
    #expect(found?.code == .deviceMemoryExhausted)
    #expect(found?.message.contains("; the plan was weights") == true)
    #expect(found?.message.contains("the last checkpoint is of step ") == true)
    #expect(found?.remedy?.contains("qlora resume") == true)
  }

  /// Its memory by part, and what a product reaches; weights outside change no bit.
  @Test func aMeasuredStepSaysWhatItTakes() throws {
    let tiny = try TinyRun()
    func measure(_ maxMemory: Int? = nil) throws -> StepMeasurement {
      try onGPU {
        let request = ModelRequest(
          path: tiny.modelPath, threads: 1, maxMemory: maxMemory,
          device: try ComputeDevice.choose("cuda"))
        return try Pipeline.measureSteps(
          request,
          StepWorkload(
            sequences: 1, length: 32, rank: 2, activationMemory: .everything, steps: 1))
      }
    }
    let found = try measure()
    #expect(found.memory.processBytes == 0 && found.deviceMemoryBytes != nil)
    #expect(found.memory.parts.reduce(0) { $0 + $1.bytes } == found.memory.trainingPeakBytes)
    #expect(found.peak.map { $0.operationsPerSecond > 0 && $0.tokens == 32 } == true)
    let outside = try measure(found.memory.peakBytes - 1)
    #expect(outside.memory.weightBytes < found.memory.weightBytes && outside.peak == nil)
    #expect(outside.steps.map(\.loss) == found.steps.map(\.loss))
    let refused = #expect(throws: Diagnostic.self) { try measure(1 << 20) }
    #expect(refused?.code.exitCode == .wouldNotFit)
  }
}
