// Where the cache is and how large it may grow: from the environment, as no result depends on it.

import QLoRADiagnostics
import QLoRASystem

extension WeightCache {
  /// 20 GiB: forty bases like a quantized Llama of one billion weights, or five of seven billion.
  package static let defaultByteLimit = 20 << 30

  /// The cache of this user: `QLORA_CACHE`, else `qlora` in `XDG_CACHE_HOME`, else
  /// `~/.cache/qlora`; in a folder `bases` there, as others may join it.
  ///
  /// - Returns: nil where `QLORA_CACHE` is `off`, or no variable names a place.
  /// - Throws: `cacheSettingInvalid` for a `QLORA_CACHE_LIMIT` that is no size.
  package static func standard(
    environment: [String: String], warn: @escaping (Diagnostic) -> Void
  ) throws(Diagnostic) -> WeightCache? {
    guard let place = place(environment) else { return nil }
    var limit = defaultByteLimit
    if let text = environment["QLORA_CACHE_LIMIT"], !text.isEmpty {
      guard let bytes = byteCount(text) else {
        throw Diagnostic(
          .cacheSettingInvalid, "expected a size such as 20GiB or 500MiB, found \"\(text)\"",
          at: .file("QLORA_CACHE_LIMIT"))
      }
      limit = bytes
    }
    return WeightCache(FilePath.join(place, "bases"), byteLimit: limit, warn: warn)
  }

  /// The folder of all caches; nil where there are to be none.
  static func place(_ environment: [String: String]) -> String? {
    func value(_ name: String) -> String? {
      environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
    if let own = value("QLORA_CACHE") { return own == "off" ? nil : own }
    // The XDG specification has relative paths ignored.
    if let shared = value("XDG_CACHE_HOME"), shared.hasPrefix("/") {
      return FilePath.join(shared, "qlora")
    }
    return value("HOME").map { FilePath.join($0, ".cache/qlora") }
  }

  /// `20GiB`, `500MiB`, or plain bytes.
  package static func byteCount(_ text: String) -> Int? {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)]
    let unit = units.first { text.hasSuffix($0.0) }
    let digits = text.dropLast(unit?.0.count ?? 0)
    guard let number = Int(digits), number >= 0 else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (unit?.1 ?? 0))
    return overflow ? nil : bytes
  }
}
