// An http or https address in so narrow a form that no two programs can read it differently: what
// is compared here is what libcurl connects to.

package struct HubAddress: Sendable, Equatable {
  package let isSecure: Bool
  /// In lower case; in brackets where it is a number of version 6.
  package let host: String
  package let port: Int
  /// Path and query, from the slash on, encoded as they travel.
  package let path: String

  /// nil for anything that is no plain address: with a user name, spaces, control characters,
  /// letters beyond ASCII, other schemes.
  package init?(_ text: String) {
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !text.contains("\\") else {
      return nil
    }
    let lowered = text.lowercased()
    guard let scheme = ["https://", "http://"].first(where: lowered.hasPrefix) else { return nil }
    isSecure = scheme == "https://"
    let rest = text.dropFirst(scheme.count)
    let authority = rest.prefix { !"/?#".contains($0) }.lowercased()
    let standard = isSecure ? 443 : 80
    guard let (host, port) = Self.split(authority, standard) else { return nil }
    self.host = host
    self.port = port
    let tail = rest.dropFirst(authority.count).prefix { $0 != "#" }
    path = tail.hasPrefix("/") ? String(tail) : "/" + tail
  }

  private init(_ base: HubAddress, path: String) {
    isSecure = base.isSecure
    host = base.host
    port = base.port
    self.path = path
  }

  private static func split(_ authority: String, _ standard: Int) -> (String, Int)? {
    let isNumber6 = authority.hasPrefix("[")
    let end = isNumber6 ? authority.firstIndex(of: "]").map(authority.index(after:)) : nil
    let hostEnd = isNumber6 ? end : authority.firstIndex(of: ":") ?? authority.endIndex
    guard let hostEnd else { return nil }
    let host = authority[..<hostEnd]
    let inner = isNumber6 ? host.dropFirst().dropLast() : host
    let allowed = isNumber6 ? "0123456789abcdef:" : "abcdefghijklmnopqrstuvwxyz0123456789.-"
    guard !inner.isEmpty, inner.allSatisfy(allowed.contains) else { return nil }
    if hostEnd == authority.endIndex { return (String(host), standard) }
    let digits = authority[authority.index(after: hostEnd)...]
    guard authority[hostEnd] == ":", (1...5).contains(digits.count),
      digits.allSatisfy({ $0.isASCII && $0.isNumber }), let port = Int(digits),
      (1...65535).contains(port)
    else { return nil }
    return (String(host), port)
  }

  package var text: String {
    let standard = isSecure ? 443 : 80
    return (isSecure ? "https://" : "http://") + host + (port == standard ? "" : ":\(port)") + path
  }

  /// Whether both are the same server, reached in the same way.
  package func hasOrigin(of other: HubAddress) -> Bool {
    isSecure == other.isSecure && host == other.host && port == other.port
  }

  /// Whether it is this machine, where nothing can listen in between.
  package var isLoopback: Bool {
    let numbers = host.split(separator: ".", omittingEmptySubsequences: false)
    let isNumber4 = numbers.count == 4 && numbers.allSatisfy { UInt8($0) != nil }
    return host == "localhost" || host == "[::1]" || (isNumber4 && numbers[0] == "127")
  }

  /// Whether it may be asked: plain http can be read by everybody on the way.
  package var isAllowed: Bool { isSecure || isLoopback }

  /// A place below this one: `parts` are encoded, each of them.
  package func appending(_ parts: [String], query: String = "") -> HubAddress {
    let start = path.hasSuffix("/") ? String(path.dropLast()) : path
    let more = parts.map { "/" + Self.encode($0) }.joined()
    return HubAddress(self, path: start + more + (query.isEmpty ? "" : "?" + query))
  }

  /// Where a `Location` of an answer from here leads: an address, or a path on this server.
  package func redirected(to location: String) -> HubAddress? {
    if location.hasPrefix("//") { return HubAddress((isSecure ? "https:" : "http:") + location) }
    if location.hasPrefix("/") {
      let base = HubAddress(self, path: "").text
      return HubAddress(base + location)
    }
    return HubAddress(location)
  }

  /// Everything but letters, digits and `-._~` as `%XX`, slashes too.
  package static func encode(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF")
    return text.utf8.reduce(into: "") { result, byte in
      let scalar = Unicode.Scalar(byte)
      let isPlain =
        scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
      if isPlain || "-._~".unicodeScalars.contains(scalar) {
        result.unicodeScalars.append(scalar)
      } else {
        result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
      }
    }
  }
}
