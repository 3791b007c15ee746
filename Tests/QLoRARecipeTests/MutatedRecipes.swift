// Makes wrong recipes out of a right one, each with a single fault of a known kind.
import QLoRAJSON
import QLoRARecipe
import TestSupport

/// A recipe with one fault.
struct MutatedRecipe: Sendable {
  enum Kind: String, Sendable, CaseIterable {
    case slip, twoSlips, letterCase, nesting, type, range, duplicate, foreign
  }

  let kind: Kind
  /// What was done, for messages.
  let fault: String
  let text: String
  /// How some error message of it must end; nil where any will do.
  let ending: String?
}

struct RecipeMutator {
  /// Every key that a recipe of AdamW in NF4 can have, as paths and values.
  static let whole = #"""
    {"name": "whole", "device": "cpu", "threads": 2, "output": "runs/whole",
      "maxMemory": {"cpu": "3GiB"}, "digests": {"model": "sha256:00"},
      "model": {"path": "m", "computeDType": "bfloat16",
        "quantization": {"type": "nf4", "blocksize": 64, "doubleQuant": true, "skip": ["a"]}},
      "adapter": {"type": "lora", "rank": 8, "alpha": 16, "dropout": 0.1,
        "targets": ["q_proj"], "initializeFrom": null},
      "data": {"train": [{"path": "t", "format": "text", "weight": 2, "limit": 9}],
        "validation": [{"path": "v", "format": "alpaca", "limit": 5}],
        "maxTokens": 128, "packing": true, "shuffle": true, "overLength": "drop",
        "trainOn": "last-assistant"},
      "training": {"epochs": 2, "batchSize": 2, "gradientAccumulation": 4,
        "optimizer": {"type": "adamw", "learningRate": 1e-4, "beta1": 0.9, "beta2": 0.95,
          "epsilon": 1e-8, "weightDecay": 0.1},
        "schedule": {"type": "linear", "warmupSteps": 7}, "maxGradientNorm": 1,
        "onNonFinite": "skip", "maxNonFinite": 2, "activationMemory": "64MiB", "seed": 3,
        "neftuneAlpha": 5, "evalEvery": 5, "saveEvery": 5, "keep": 1, "logEvery": 1,
        "samples": 1, "maxWallTime": "1h"}}
    """#

  private let root: JSONValue
  /// Places of all keys, indexes of lists included.
  private let places: [[String]]
  private var generator: SeededGenerator

  init(seed: UInt64) throws {
    root = try JSONValue(parsing: Self.whole)
    places = Self.places(in: root).filter { $0.first != "digests" || $0.count == 1 }
    generator = SeededGenerator(seed: seed)
  }

  /// So many recipes of each kind for every key, as far as the kind suits the key.
  mutating func recipes(perKey: Int = 1) -> [MutatedRecipe] {
    places.flatMap { place in
      (0..<perKey).flatMap { _ in
        MutatedRecipe.Kind.allCases.compactMap { mutate(place, $0) }
      }
    }
  }

  private mutating func mutate(_ place: [String], _ kind: MutatedRecipe.Kind) -> MutatedRecipe? {
    let path = place.joined(separator: ".")
    guard let key = place.last, let schema = FieldSchema.recipe.find(path) else { return nil }
    func made(_ value: JSONValue, _ fault: String, _ ending: String? = nil) -> MutatedRecipe {
      MutatedRecipe(
        kind: kind, fault: "\(kind) at \(path): \(fault)", text: JSONWriter.text(value),
        ending: ending)
    }
    let siblings = Set(Self.value(root, Array(place.dropLast()))?.objectMembers?.map(\.key) ?? [])
    switch kind {
    case .slip, .twoSlips, .letterCase:
      let typed =
        kind == .letterCase
        ? changeCase(key) : Typist.misspell(key, slips: kind == .slip ? 1 : 2, &generator)
      if typed == key { return nil }
      let changed = Self.edit(root, place) { [(typed, $0)] }
      // A slip can give a neighbour's name, which is then there twice.
      return made(
        changed, typed, siblings.contains(typed) ? nil : "did you mean \"\(key)\"?")
    case .nesting:
      guard place.count > 1, let value = Self.value(root, place) else { return nil }
      let without = Self.edit(root, place) { _ in [] }
      guard case .object(let members) = without, !members.contains(where: { $0.key == key })
      else { return nil }
      return made(.object(members + [JSONMember(key, value)]), "at the top")
    case .type:
      guard let wrong = wrongType(schema.type) else { return nil }
      return made(Self.edit(root, place) { _ in [(key, wrong)] }, JSONWriter.text(wrong))
    case .range:
      guard let wrong = outside(schema.type) else { return nil }
      return made(Self.edit(root, place) { _ in [(key, wrong)] }, JSONWriter.text(wrong))
    case .duplicate:
      return made(Self.edit(root, place) { [(key, $0), (key, $0)] }, "twice", "one of the two")
    case .foreign:
      let names = RecipeAliases.table.filter { $0.value == path && !$0.key.contains(":") }.keys
      guard let name = names.sorted().randomElement(using: &generator) else { return nil }
      return made(
        Self.edit(root, place) { [(name, $0)] }, name, "; \"\(name)\" is \"\(path)\" here")
    }
  }

  private mutating func changeCase(_ key: String) -> String {
    let changed = [
      key.uppercased(), key.lowercased(), key.prefix(1).uppercased() + key.dropFirst(),
    ]
    return changed.randomElement(using: &generator) ?? key
  }

  /// A value of a kind that the type never takes.
  private mutating func wrongType(_ type: FieldType) -> JSONValue? {
    switch type {
    case .section: [.list([]), .int(3), .null].randomElement(using: &generator)
    case .sections: [.dictionary([]), "a", .null].randomElement(using: &generator)
    case .boolean: [.int(1), "true", .null].randomElement(using: &generator)
    case .integer, .powerOfTwo: [.double(2.5), "64", .bool(true)].randomElement(using: &generator)
    case .number: ["0.5", .bool(false), .null].randomElement(using: &generator)
    case .text, .path, .fileName, .choice, .duration:
      [.int(3), .list(["a"]), .bool(true)].randomElement(using: &generator)
    case .optional(let inner): wrongType(inner).flatMap { $0 == .null ? .list([]) : $0 }
    case .list, .textMap, .targets, .byteBudget, .byteCount:
      [.bool(true), .double(0.5)].randomElement(using: &generator)
    }
  }

  /// A value of the right kind that the type does not take.
  private mutating func outside(_ type: FieldType) -> JSONValue? {
    switch type {
    case .boolean, .section, .textMap: return nil
    case .integer(let range): return .int(range.lowerBound - 1)
    case .powerOfTwo: return [.int(48), .int(0), .int(8192)].randomElement(using: &generator)
    case .number(let range):
      let low = JSONValue.double(range.includesLower ? range.lower - 0.5 : range.lower)
      let high = range.upper.map { JSONValue.double($0) }
      return [low, high ?? low].randomElement(using: &generator)
    case .text, .path, .fileName: return ""
    case .choice(let words):
      return .string(
        Typist.misspell(words.randomElement(using: &generator) ?? "", slips: 1, &generator) + "~")
    case .list: return .list([""])
    case .optional(let inner): return outside(inner)
    case .targets: return ["(q", ["q_proj", ""], []].randomElement(using: &generator)
    case .byteBudget, .byteCount:
      return ["3 gigs", .int(0), "-1MiB"].randomElement(using: &generator)
    case .duration: return ["0s", "3", "1m1h"].randomElement(using: &generator)
    case .sections: return .list([.dictionary([])])
    }
  }

  private static func places(in value: JSONValue, _ prefix: [String] = []) -> [[String]] {
    if let elements = value.arrayValue {
      return elements.enumerated().flatMap { places(in: $0.element, prefix + ["\($0.offset)"]) }
    }
    return (value.objectMembers ?? []).flatMap { member in
      [prefix + [member.key]] + places(in: member.value, prefix + [member.key])
    }
  }

  private static func value(_ root: JSONValue, _ place: [String]) -> JSONValue? {
    place.reduce(root as JSONValue?) { value, key in
      Int(key).map { value?.arrayValue?[$0] } ?? value?[key]
    }
  }

  /// The tree with the member at `place` replaced.
  private static func edit(
    _ value: JSONValue, _ place: [String], _ change: (JSONValue) -> [(String, JSONValue)]
  ) -> JSONValue {
    guard let key = place.first else { return value }
    let rest = Array(place.dropFirst())
    switch value {
    case .array(let elements):
      return .list(
        elements.enumerated().map {
          "\($0.offset)" == key ? edit($0.element.value, rest, change) : $0.element.value
        })
    case .object(let members):
      return .dictionary(
        members.flatMap { member in
          if member.key != key { return [(member.key, member.value)] }
          return rest.isEmpty
            ? change(member.value) : [(key, edit(member.value, rest, change))]
        })
    default: return value
    }
  }
}

/// Somebody who types a word wrong.
enum Typist {
  /// The word after one or two slips: a letter too few or too many, a wrong one, or two swapped.
  static func misspell(
    _ word: String, slips: Int, _ generator: inout SeededGenerator
  ) -> String {
    var letters = Array(word)
    for _ in 0..<slips {
      let index = Int.random(in: 0..<letters.count, using: &generator)
      let letter = "abcdefghijklmnopqrstuvwxyz".randomElement(using: &generator) ?? "x"
      switch Int.random(in: 0..<4, using: &generator) {
      case 0 where letters.count > 2: letters.remove(at: index)
      case 1: letters.insert(letter, at: index)
      case 2 where index + 1 < letters.count: letters.swapAt(index, index + 1)
      default: letters[index] = letter
      }
    }
    return String(letters)
  }
}
