// Keys and values of the last conversation, so that the next prompt pays only for its new tokens.

import QLoRACUDA
import QLoRADiagnostics
import QLoRAModels
import QLoRATensor

/// It belongs to one model with one adapter. What it keeps is used again where the next prompt
/// begins with the same tokens.
package final class PromptMemory {
  /// What of the kept tokens may be used again.
  package enum Reuse: Sendable {
    /// All. Numbers of a token differ in their last bits with how many were fed at once, so an
    /// answer may depend on what was said before.
    case everything
    /// Only whole chunks of earlier prompts, which are computed alike every time: answers depend
    /// on nothing but their prompts.
    case wholeChunks
  }

  /// Tokens that are fed at once: enough to keep the machine busy, and few enough that a long
  /// prompt takes no more memory than a short one.
  package static let chunk = 128

  private let model: DecoderModel
  private let cache: KeyValueCache
  private let reuse: Reuse
  /// Those whose keys and values are there.
  package private(set) var tokens: [Int32] = []
  /// How many of them, from the front, were fed as whole chunks.
  private var chunkedCount = 0

  package init(_ model: DecoderModel, reuse: Reuse) {
    self.model = model
    self.reuse = reuse
    cache = model.makeCache()
  }

  /// Logits of the token after a prompt; nil where `isStopped` became true on the way.
  ///
  /// - Parameter prompt: not empty.
  /// - Returns: also how many of its tokens were kept from before.
  package func feed(
    _ prompt: [Int32], isStopped: () -> Bool
  ) throws -> (logits: Tensor, reused: Int)? {
    if model.readsAndWrites {
      // What is read is read whole, and nothing of an answer before is of use.
      tokens = []
      chunkedCount = 0
      cache.truncate(to: 0)
      return isStopped() ? nil : (try append(model.open(prompt, cache)), 0)
    }
    let reused = forget(allBut: prompt)
    try checkRoom(prompt.count - reused)
    var logits: Tensor?
    while tokens.count < prompt.count {
      if isStopped() { return nil }
      let start = tokens.count
      let border = (start / Self.chunk + 1) * Self.chunk
      let end = min(border, prompt.count)
      logits = try append(Array(prompt[start..<end]))
      if start == chunkedCount, end == border { chunkedCount = end }
    }
    return logits.map { (logits: $0, reused: reused) }
  }

  /// Logits of the token after one more.
  package func feed(_ token: Int32) throws -> Tensor {
    try checkRoom(1)
    return try append([token])
  }

  /// A device that has refused memory computes nothing any more, so it is asked before.
  /// - Throws: `deviceMemoryExhausted`; the device is well.
  private func checkRoom(_ new: Int) throws {
    if model.hasRoom(for: new, cache) { return }
    throw Diagnostic(
      .deviceMemoryExhausted,
      "\(model.backend.name) has no room for the keys and values of \(tokens.count + new) tokens")
  }

  private func append(_ new: [Int32]) throws -> Tensor {
    let logits = model.logitsTensor(after: new, cache)
    tokens += new
    try model.checkWeights()
    return logits
  }

  /// Keeps what `prompt` begins with, but never all of it: its last token is asked for logits.
  private func forget(allBut prompt: [Int32]) -> Int {
    var shared = zip(tokens, prompt.dropLast()).prefix { $0 == $1 }.count
    if reuse == .wholeChunks { shared = min(shared, chunkedCount) / Self.chunk * Self.chunk }
    tokens.removeLast(tokens.count - shared)
    cache.truncate(to: shared)
    chunkedCount = min(chunkedCount, shared / Self.chunk * Self.chunk)
    return shared
  }
}
