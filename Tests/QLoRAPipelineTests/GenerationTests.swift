// Answers of the smallest model there is: what they depend on, and what they do not.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import Testing

@Suite struct GenerationTests {
  private let run: TinyRun
  private let loaded: LoadedModel

  init() throws {
    run = try TinyRun()
    loaded = try Pipeline.load(Self.base(run))
  }

  private static func base(
    _ run: TinyRun, _ adapter: String? = nil, quantization: String? = "none"
  ) -> BaseOptions {
    BaseOptions(
      model: run.modelPath, adapter: adapter, quantization: quantization, computeDType: nil,
      threads: 1)
  }

  private func tokens(_ count: Int, seed: Int32 = 1) -> [Int32] {
    (0..<Int32(count)).map { 3 + ($0 * 37 + seed * 11) % 200 }
  }

  private var options: AnswerOptions {
    var options = AnswerOptions()
    options.maxTokens = 12
    options.sampling.temperature = 1
    options.sampling.seed = 4
    options.scores = 2
    return options
  }

  private func pieces(
    _ prompt: [Int32], _ memory: PromptMemory? = nil
  ) throws -> (Answer, [ScoredToken]) {
    var scores: [ScoredToken] = []
    let answer = try Generator(loaded).answer(
      to: prompt, options, memory: memory, emit: { scores += [$0.score].compactMap { $0 } })
    return (answer, scores)
  }

  /// Scores are compared to the last bit.
  @Test func wholeChunksMakeAnswersIndependentOfThePast() throws {
    let chunk = PromptMemory.chunk
    let memory = PromptMemory(loaded.model, reuse: .wholeChunks)
    let long = tokens(chunk + 20)
    for (prompt, reused) in [
      (long, 0), (long, chunk), (Array(long[..<chunk]), 0), (Array(long[..<(chunk + 1)]), chunk),
      (tokens(30, seed: 2), 0), (long, 0),
    ] {
      let alone = try pieces(prompt)
      let after = try pieces(prompt, memory)
      #expect(after.0.reusedTokens == reused, "\(prompt.count)")
      #expect(alone.0.text == after.0.text && alone.1 == after.1, "\(prompt.count)")
    }
  }

  @Test func everythingIsUsedAgainWhereAsked() throws {
    let memory = PromptMemory(loaded.model, reuse: .everything)
    let first = try pieces(tokens(40), memory)
    // The last token of an answer was drawn and not fed.
    let known = memory.tokens
    #expect(known.count == 40 + first.0.generatedTokens - 1)
    #expect(try pieces(known + [5, 6], memory).0.reusedTokens == known.count)
    #expect(try pieces(Array(known[..<20]), memory).0.reusedTokens == 19)
  }

  @Test func stopsAndLimitsEndAnAnswer() throws {
    let whole = try pieces(tokens(9)).0
    #expect(whole.generatedTokens == 12 && whole.finishReason == .length)
    var options = options
    let scalars = Array(whole.text.unicodeScalars)
    let stop = String(String.UnicodeScalarView(scalars[3...4]))
    options.stop = ["never there", stop]
    var text = ""
    let cut = try Generator(loaded).answer(to: tokens(9), options, emit: { text += $0.text })
    let start = try #require(whole.text.firstRange(of: stop)?.lowerBound)
    #expect(cut.text == String(whole.text[..<start]) && text == cut.text)
    #expect(cut.finishReason == .stop)
    var asked = 0
    let stopped = try Generator(loaded).answer(
      to: tokens(9), self.options,
      isStopped: {
        asked += 1
        return asked > 3
      })
    #expect(stopped.finishReason == .cancelled && stopped.generatedTokens == 2)
  }

  @Test func promptsMustFit() throws {
    let positions = loaded.source.config.maxPositions
    #expect { try pieces([]) } throws: { ($0 as? Diagnostic)?.code == .emptyPrompt }
    #expect { try pieces(tokens(positions)) } throws: {
      ($0 as? Diagnostic)?.code == .promptTooLong
    }
    #expect(try pieces(tokens(positions - 2)).0.generatedTokens == 2)
  }

  @Test func chatsRememberAndForget() throws {
    let session = try ChatSession(loaded, system: "on")
    var options = AnswerOptions()
    options.maxTokens = 4
    let first = try session.answer(to: "play the song", options)
    let second = try session.answer(to: "off", options)
    #expect(second.reusedTokens > 10)
    let row = try JSONValue(parsing: session.row)
    let roles = row["messages"]?.arrayValue?.compactMap { $0["role"]?.stringValue }
    #expect(roles == ["system", "user", "assistant", "user", "assistant"])
    #expect(session.undo())
    #expect(try session.answer(to: "off", options).text == second.text)
    session.reset()
    #expect(session.messages.count == 1 && !session.undo())
    #expect(try session.answer(to: "play the song", options).text == first.text)
    let before = session.messages
    #expect(throws: (any Error).self) {
      try session.answer(to: String(repeating: "door ", count: 500), options)
    }
    #expect(session.messages == before)
  }

  @Test func adaptersAreChosenByName() throws {
    try run.train("one")
    try run.train("two", ["training.seed=9", "training.optimizer.learningRate=5e-2"])
    let paths = ["one", "two"].map { run.folder.path($0) }
    let model = try Pipeline.loadSwitched(
      Self.base(run), [NamedAdapter(argument: "b=\(paths[1])"), NamedAdapter(argument: paths[0])])
    #expect(model.names == ["model", "b", "one"])
    var options = options
    options.scores = 1
    func answer(_ name: String) throws -> [ScoredToken] {
      var scores: [ScoredToken] = []
      _ = try model.answer(
        as: name, to: tokens(20), options, isStopped: { false },
        emit: { scores += [$0.score].compactMap { $0 } })
      return scores
    }
    func alone(_ adapter: String?) throws -> [ScoredToken] {
      var scores: [ScoredToken] = []
      _ = try Generator(try Pipeline.load(Self.base(run, adapter))).answer(
        to: tokens(20), options, emit: { scores += [$0.score].compactMap { $0 } })
      return scores
    }
    let expected = ["model": try alone(nil), "b": try alone(paths[1]), "one": try alone(paths[0])]
    #expect(Set(expected.values.map { $0[0].chosen.logProbability }).count == 3)
    for name in ["model", "b", "one", "model", "one", "b"] {
      #expect(try answer(name) == expected[name], "\(name)")
    }
  }

  @Test func namesAndBasesMustAgree() throws {
    try run.train("one")
    try run.train("two", [#"model.quantization={"type":"none"}"#])
    let (one, two) = (run.folder.path("one"), run.folder.path("two"))
    func code(_ adapters: [String], _ quantization: String? = nil) -> DiagnosticCode? {
      let base = Self.base(run, quantization: quantization)
      do {
        _ = try Pipeline.loadSwitched(base, adapters.map { NamedAdapter(argument: $0) })
        return nil
      } catch {
        return (error as? Diagnostic)?.code
      }
    }
    #expect(code([one, one]) == .nameTaken)
    #expect(code(["model=\(one)"]) == .nameTaken)
    #expect(code([one, two]) == .adaptersDisagree)
    #expect(code([one, two], "none") == nil)
    #expect(NamedAdapter(argument: "runs/x/adapter").name == "x")
  }
}

@Suite struct StopFinderTests {
  /// Every cut of the text into pieces gives the same.
  @Test(arguments: [
    (["</s>"], "héllo</s>rest", "héllo"), (["ab", "abc"], "xxabc", "xx"),
    (["🙂🙃"], "a🙂🙂🙃b", "a🙂"), (["aab"], "aaab", "a"), (["zz"], "only z", "only z"),
    ([""], "all", "all"), (["e\u{301}"], "ne\u{301}e", "n"), (["b", "ab"], "ab", ""),
  ])
  func stopsAreFoundAcrossPieces(stops: [String], text: String, expected: String) {
    let scalars = Array(text.unicodeScalars)
    for size in 1...scalars.count {
      var finder = StopFinder(stops)
      var found = ""
      for start in stride(from: 0, to: scalars.count, by: size) {
        let piece = scalars[start..<min(start + size, scalars.count)]
        found += finder.append(String(String.UnicodeScalarView(piece)))
      }
      found += finder.finish()
      #expect(Array(found.utf8) == Array(expected.utf8), "\(size)")
      #expect(finder.isFound == (text != expected))
    }
  }

  @Test func whatIsNoStopComesAtOnce() {
    var finder = StopFinder(["abc"])
    #expect(finder.append("xa") == "x" && finder.append("b") == "" && finder.append("d") == "abd")
  }
}
