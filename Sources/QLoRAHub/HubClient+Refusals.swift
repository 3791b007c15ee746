// What an answer other than success means to a user.
import QLoRADiagnostics

extension HubClient {
  /// Passes a whole answer of success; of a head also a redirect that was not followed.
  func check(
    _ answer: HubAnswer, _ address: HubAddress, _ subject: HubReference, isHead: Bool = false
  ) throws(Diagnostic) {
    guard answer.failure == nil, (200..<(isHead ? 400 : 300)).contains(answer.head.status) else {
      throw refusal(answer, address, subject)
    }
  }

  /// Why an answer is no success.
  func refusal(
    _ answer: HubAnswer, _ address: HubAddress, _ subject: HubReference
  ) -> Diagnostic {
    let status = answer.head.status
    let reason = answer.head.fields["x-error-code"] ?? ""
    let place = DiagnosticLocation.file(address.text)
    let page = settings.endpoint.appending(
      (subject.kind == .dataset ? ["datasets"] : [])
        + subject.id.split(separator: "/").map(String.init)
    ).text
    switch (status, reason) {
    case (_, "GatedRepo"):
      return Diagnostic(
        .hubGated, "\(subject.id) is given to those only who were granted access", at: place,
        remedy: "ask for access at \(page), then set HF_TOKEN to a token of that account")
    case (_, "RevisionNotFound"):
      return Diagnostic(
        .hubMissing, "\(subject.id) has no revision \"\(subject.revision)\"", at: place,
        remedy: "look at \(page) for its branches and tags")
    case (_, "EntryNotFound"):
      return Diagnostic(.hubMissing, "\(subject.id) has no such file", at: place)
    case (_, "RepoNotFound"), (404, _):
      let other = subject.kind == .dataset ? "without --dataset for a model" : "with --dataset"
      return Diagnostic(
        .hubMissing, "there is no \(subject.kind.rawValue) \(subject.id), or it is private",
        at: place,
        remedy: "check the name, set HF_TOKEN where it is private, or try \(other)")
    case (401, _), (403, _):
      let found = settings.token == nil ? "asks for a token" : "refused the token"
      return Diagnostic(
        .hubDenied, "the server \(found) (status \(status))", at: place,
        remedy: "set HF_TOKEN to a valid token that may read \(subject.id)")
    default: break
    }
    if let failure = answer.failure, status == 0 || (200..<300).contains(status) {
      return Diagnostic(
        .hubUnreachable, failure.message, at: place,
        remedy: "check the network and HF_ENDPOINT, then run the command again")
    }
    return Diagnostic(
      .hubRefused, "the server answered with status \(status)", at: place,
      remedy: "check HF_ENDPOINT, or try again later")
  }
}
