// Bodies of HTTP requests, from their bytes to the tokens that a model would be given.
import QLoRAServing
import QLoRAText
import TestSupport

/// The first byte chooses the endpoint.
struct FuzzRequests {
  static let shared = FuzzRequests()

  private let text: ServedText

  private init() {
    do {
      let tokenizer = try Tokenizer.load(folder: Goldens.path("tiny-chat"))
      let template = try ChatTemplate(
        source: tokenizer.chatTemplateSource ?? "", bosToken: "<|im_start|>",
        eosToken: "<|im_end|>", limits: FuzzTexts.limits)
      text = ServedText(
        names: ["tiny"], tokenizer: tokenizer, template: template, positions: 512)
    } catch {
      preconditionFailure("the golden tokenizer does not load: \(error)")
    }
  }

  func run(_ input: [UInt8]) throws {
    let endpoints = CompletionRequest.Endpoint.allCases
    let endpoint = endpoints[Int(input.first ?? 0) % endpoints.count]
    do throws(APIError) {
      try read(Array(input.dropFirst()), endpoint)
    } catch {
      precondition((400..<500).contains(error.status), "a request gave \(error.status)")
      throw error
    }
  }

  private func read(
    _ body: [UInt8], _ endpoint: CompletionRequest.Endpoint
  ) throws(APIError) {
    let request = try CompletionRequest(body, endpoint)
    let prompts = try text.prompts(of: request)
    precondition(prompts.allSatisfy { (1..<text.positions).contains($0.count) })
    precondition((request.maxTokens ?? 1) > 0 && !request.answer.stop.contains(""))
  }
}
