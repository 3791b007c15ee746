// Typed access to the metadata of a GGUF file.
import QLoRADiagnostics
import QLoRATensor

struct GGUFMetadataReader {
  let gguf: GGUFFile
  let family: ModelFamily

  /// - Throws: `architectureUnsupported` naming the nearest family, `ggufMetadata`.
  init(_ gguf: GGUFFile) throws(Diagnostic) {
    self.gguf = gguf
    let key = "general.architecture"
    guard let name = gguf.metadata[key]?.string else {
      throw Self.wrong(key, "a string", gguf)
    }
    if let kind = gguf.metadata["general.type"]?.string, kind != "model" {
      throw Diagnostic(
        .architectureUnsupported, "general.type is \"\(kind)\", expected \"model\"",
        at: .file(gguf.path))
    }
    guard
      let family = ModelFamily.allCases.first(where: {
        $0.ggufArchitecture == name && !$0.isEncoder && !$0.readsAndWrites
      })
    else {
      let nearest = ModelFamily.nearest(to: name, keys: [])
      throw Diagnostic(
        .architectureUnsupported,
        "\(key) \"\(name)\" is not supported; the nearest that is: "
          + "\"\(nearest.ggufArchitecture)\"", at: .file(gguf.path), remedy: ModelFamily.remedy)
    }
    self.family = Self.among(family, gguf)
  }

  /// Which of the families that share a name: what they have beside the first tells them.
  private static func among(_ first: ModelFamily, _ gguf: GGUFFile) -> ModelFamily {
    func has(_ key: String) -> Bool { (gguf.metadata[key]?.int ?? 0) > 0 }
    switch first {
    case .llama where has("llama.expert_count"): return .mixtral
    case .olmo2 where has("olmo2.attention.sliding_window"): return .olmo3
    default: return first
    }
  }

  private static func wrong(
    _ key: String, _ expected: String, _ gguf: GGUFFile
  ) -> Diagnostic {
    Diagnostic(
      .ggufMetadata,
      "\"\(key)\" must be \(expected), found \(gguf.metadata[key]?.kindName ?? "nothing")",
      at: .file(gguf.path))
  }

  /// - Parameter key: without the architecture in front; so below.
  func wrong(_ key: String, _ expected: String) -> Diagnostic {
    Self.wrong(full(key), expected, gguf)
  }

  /// Keys of the tokenizer are no architecture's.
  private func full(_ key: String) -> String {
    key.hasPrefix("tokenizer.") ? key : family.ggufArchitecture + "." + key
  }

  func value(_ key: String) -> GGUFValue? { gguf.metadata[full(key)] }

  func int(
    _ key: String, default fallback: @autoclosure () throws(Diagnostic) -> Int? = nil
  ) throws(Diagnostic) -> Int {
    guard let value = value(key) else {
      guard let fallback = try fallback() else { throw wrong(key, "an integer") }
      return fallback
    }
    guard let integer = value.int else { throw wrong(key, "an integer") }
    return integer
  }

  func double(_ key: String, default fallback: Double? = nil) throws(Diagnostic) -> Double {
    guard let value = value(key) else {
      guard let fallback else { throw wrong(key, "a number") }
      return fallback
    }
    guard let number = value.double else { throw wrong(key, "a number") }
    return number
  }

  func float(_ key: String, default fallback: Double) throws(Diagnostic) -> Float {
    Float(try double(key, default: fallback))
  }

  func bool(_ key: String, default fallback: Bool) throws(Diagnostic) -> Bool {
    guard let value = value(key) else { return fallback }
    guard let flag = value.bool else { throw wrong(key, "true or false") }
    return flag
  }

  func token(_ key: String) throws(Diagnostic) -> [Int] { value(key) == nil ? [] : [try int(key)] }
}
