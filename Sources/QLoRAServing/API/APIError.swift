// A refusal as clients of OpenAI's interface know it.
import QLoRAJSON

package struct APIError: Error, Sendable, Equatable {
  package var status: Int
  package var message: String
  /// The field of the request that is at fault.
  package var parameter: String?
  /// A word for programs.
  package var code: String?

  package init(
    _ message: String, status: Int = 400, parameter: String? = nil, code: String? = nil
  ) {
    self.status = status
    self.message = message
    self.parameter = parameter
    self.code = code
  }

  package var json: JSONValue {
    let type =
      switch status {
      case 401, 403: "authentication_error"
      case 429: "rate_limit_error"
      case 500...: "server_error"
      default: "invalid_request_error"
      }
    return .dictionary([
      (
        "error",
        .dictionary([
          ("message", .string(message)), ("type", .string(type)),
          ("param", parameter.map { .string($0) } ?? .null),
          ("code", code.map { .string($0) } ?? .null),
        ])
      )
    ])
  }

  var response: LocalResponse { LocalResponse(status: status, json: json) }
}

extension LocalResponse {
  init(status: Int = 200, json: JSONValue) {
    self.init(status: status, type: "application/json", JSONWriter.text(json) + "\n")
  }
}
