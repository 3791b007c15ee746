// The hub as the environment names it, with the variables that its own libraries read.
import QLoRADiagnostics
import QLoRASystem

package struct HubSettings: Sendable {
  /// Where the hub is, as its documentation says.
  private static let standardEndpoint = "https://huggingface.co"

  package let endpoint: HubAddress
  /// Sent to the endpoint alone.
  package let token: String?
  /// Whether no request may be made.
  package let isOffline: Bool
  /// A file of certificates instead of the system's.
  package let certificates: String?

  /// `HF_ENDPOINT`, `HF_TOKEN` or else the file `HF_TOKEN_PATH` or `HF_HOME/token`,
  /// `HF_HUB_OFFLINE`, and `CURL_CA_BUNDLE` or `SSL_CERT_FILE`.
  ///
  /// - Throws: `hubSettingInvalid`.
  package init(environment: [String: String]) throws(Diagnostic) {
    let variables = HubVariables(environment)
    let text = variables["HF_ENDPOINT"] ?? Self.standardEndpoint
    guard let endpoint = HubAddress(text), endpoint.isAllowed else {
      throw Diagnostic(
        .hubSettingInvalid, "expected an https address, found \"\(text)\"",
        at: .file("HF_ENDPOINT"),
        remedy: "http is for this machine only, as in http://127.0.0.1:8080")
    }
    self.endpoint = endpoint
    let yes: Set = ["1", "ON", "YES", "TRUE"]
    let offline = variables["HF_HUB_OFFLINE"] ?? variables["TRANSFORMERS_OFFLINE"]
    isOffline = yes.contains(offline?.uppercased() ?? "")
    certificates = variables["CURL_CA_BUNDLE"] ?? variables["SSL_CERT_FILE"]
    let given = variables["HF_TOKEN"] ?? variables["HUGGING_FACE_HUB_TOKEN"]
    let stored = given == nil ? try Self.storedToken(variables) : nil
    token = Self.cleaned(given ?? stored)
  }

  private static func storedToken(_ variables: HubVariables) throws(Diagnostic) -> String? {
    let standard = variables.home.map { FilePath.join($0, "token") }
    guard let path = variables.path("HF_TOKEN_PATH") ?? standard,
      let file = try InputFile.openIfPresent(path)
    else { return nil }
    let longestToken = 1 << 14
    return String(decoding: try file.wholeBytes(limit: longestToken), as: UTF8.self)
  }

  /// Without blanks and line ends, which would begin another header.
  private static func cleaned(_ token: String?) -> String? {
    let visible = token?.unicodeScalars.filter { $0.value > 0x20 && $0.value < 0x7F }
    guard let visible, !visible.isEmpty else { return nil }
    return String(String.UnicodeScalarView(visible))
  }
}

/// Variables of the environment; what is empty is not set.
struct HubVariables {
  private let environment: [String: String]

  init(_ environment: [String: String]) { self.environment = environment }

  subscript(name: String) -> String? {
    environment[name].flatMap { $0.isEmpty ? nil : $0 }
  }

  /// A path that may begin with `~`.
  func path(_ name: String) -> String? {
    guard let text = self[name] else { return nil }
    guard text == "~" || text.hasPrefix("~/"), let home = self["HOME"] else { return text }
    return home + text.dropFirst()
  }

  /// `HF_HOME`, else `huggingface` in `XDG_CACHE_HOME` or `~/.cache`.
  var home: String? {
    if let own = path("HF_HOME") { return own }
    let shared = path("XDG_CACHE_HOME") ?? self["HOME"].map { FilePath.join($0, ".cache") }
    return shared.map { FilePath.join($0, "huggingface") }
  }

  /// `HF_HUB_CACHE`, else `hub` in the home.
  var cache: String? {
    path("HF_HUB_CACHE") ?? path("HUGGINGFACE_HUB_CACHE")
      ?? home.map { FilePath.join($0, "hub") }
  }
}
