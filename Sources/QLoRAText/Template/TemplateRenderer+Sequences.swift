// The filters on lists, mappings and other sequences.

extension TemplateRenderer {
  func sequenceFilter(
    _ name: String, _ value: TemplateValue, _ arguments: ValueArguments, at offset: Int
  ) throws -> TemplateValue? {
    func bound(_ parameters: [String]) throws -> [TemplateValue?] {
      try bind(arguments, parameters, "the filter \(name)", at: offset)
    }
    switch name {
    case "length", "count": return .int(try count(value, at: offset))
    case "first": return try elements(value, offset).first ?? .undefined("the first of nothing")
    case "last":
      if value.listValue?.isGenerator == true {
        throw failure("a generator has no last element; make a list of it", at: offset)
      }
      return try elements(value, offset).last ?? .undefined("the last of nothing")
    case "list": return .list(try elements(value, offset))
    case "reverse":
      if let text = value.textValue {
        return .string(TaggedText(text.scalars.reversed()).marked(text.isMarkup))
      }
      return .generator(try elements(value, offset).reversed())
    case "join":
      let values = try bound(["d", "attribute"])
      let items = try project(elements(value, offset), values[1], offset)
      let separator = try values[0].map { try text(of: $0, at: offset) } ?? TaggedText()
      return .string(try join(items, separator, at: offset))
    case "items": return .generator(try pairs(value, name, offset))
    case "sum":
      let values = try bound(["attribute", "start"])
      return try project(elements(value, offset), values[0], offset)
        .reduce(values[1] ?? .int(0)) { try binary("+", $0, $1, at: offset) }
    case "min", "max":
      let values = try bound(["case_sensitive", "attribute"])
      let sorted = try sort(
        elements(value, offset), by: values[1], isCaseSensitive: values[0]?.isTrue ?? false,
        descending: name == "max", offset)
      return sorted.first ?? .undefined("the \(name) of nothing")
    case "sort":
      let values = try bound(["reverse", "case_sensitive", "attribute"])
      return .list(
        try sort(
          elements(value, offset), by: values[2], isCaseSensitive: values[1]?.isTrue ?? false,
          descending: values[0]?.isTrue ?? false, offset))
    case "unique":
      let values = try bound(["case_sensitive", "attribute"])
      return .generator(try unique(elements(value, offset), values, offset))
    case "dictsort":
      return try sortedPairs(value, bound(["case_sensitive", "by", "reverse"]), offset)
    case "batch":
      let values = try bound(["linecount", "fill_with"])
      return try batch(elements(value, offset), values[0]?.intValue ?? 0, values[1], offset)
    // Jinja's own generators: what is false has no elements.
    case "map", "select", "reject", "selectattr", "rejectattr":
      guard value.isTrue else { return .generator([]) }
      return .generator(try choose(name, elements(value, offset), arguments, offset))
    default: return nil
    }
  }

  private func choose(
    _ name: String, _ elements: [TemplateValue], _ arguments: ValueArguments, _ offset: Int
  ) throws -> [TemplateValue] {
    switch name {
    case "map": return try map(elements, arguments, offset)
    case "select", "reject":
      return try elements.filter { try passes($0, arguments, at: offset) == (name == "select") }
    default:
      guard let attribute = arguments.positional.first else {
        throw failure("\(name) needs an attribute", at: offset)
      }
      var rest = arguments
      rest.positional.removeFirst()
      return try elements.filter { element in
        let part = try member(element, attribute, offset)
        return try passes(part, rest, at: offset) == (name == "selectattr")
      }
    }
  }

  /// The elements of a value, each counted as a step.
  private func elements(_ value: TemplateValue, _ offset: Int) throws -> [TemplateValue] {
    let elements = try iterate(value, at: offset)
    try step(elements.count, at: offset)
    return elements
  }

  private func count(_ value: TemplateValue, at offset: Int) throws -> Int {
    switch value.payload {
    case .string(let text): return text.count
    case .list(let list) where !list.isGenerator: return list.elements.count
    case .dictionary(let dictionary): return dictionary.entries.count
    case .undefined: return 0
    default: throw failure("\(value.kindName) has no length", at: offset)
    }
  }

  func join(
    _ items: [TemplateValue], _ separator: TaggedText, at offset: Int, isMarkup: Bool = false
  ) throws -> TaggedText {
    var result = TaggedText().marked(isMarkup)
    for (index, item) in items.enumerated() {
      var text = try text(of: item, at: offset)
      if isMarkup { text = try escaped(text, at: offset) }
      try charge(text.count + separator.count, at: offset)
      if index > 0 { result.append(separator) }
      result.append(text)
    }
    return result
  }

  /// The attribute of each element, where one is asked for.
  private func project(
    _ elements: [TemplateValue], _ attribute: TemplateValue?, _ offset: Int
  ) throws -> [TemplateValue] {
    guard let attribute, !attribute.isNone else { return elements }
    return try elements.map { try member($0, attribute, offset) }
  }

  /// A member by a dotted path such as `function.name`.
  private func member(
    _ value: TemplateValue, _ path: TemplateValue, _ offset: Int
  ) throws -> TemplateValue {
    guard let text = path.textValue?.plain else { return try element(value, path, at: offset) }
    var value = value
    for part in text.split(separator: ".") {
      let key = Int(part).map { TemplateValue.int($0) } ?? .text(String(part))
      value = try element(value, key, at: offset)
    }
    return value
  }

  private func map(
    _ elements: [TemplateValue], _ arguments: ValueArguments, _ offset: Int
  ) throws -> [TemplateValue] {
    if let attribute = arguments.named.first(where: { $0.name == "attribute" })?.value {
      let fallback = arguments.named.first { $0.name == "default" }?.value
      return try elements.map { element in
        let part = try member(element, attribute, offset)
        return part.isUndefined ? fallback ?? part : part
      }
    }
    guard let name = arguments.positional.first?.textValue?.plain else {
      throw failure("map needs a filter or an attribute", at: offset)
    }
    var rest = arguments
    rest.positional.removeFirst()
    return try elements.map { element in
      try withinDepth(at: offset) { try filter(name, element, rest, at: offset) }
    }
  }

  /// Whether a value passes the test named first in `arguments`, or is true where none is.
  private func passes(
    _ value: TemplateValue, _ arguments: ValueArguments, at offset: Int
  ) throws -> Bool {
    guard let name = arguments.positional.first?.textValue?.plain else { return value.isTrue }
    var rest = arguments
    rest.positional.removeFirst()
    return try test(name, value, rest, at: offset)
  }

  /// What sorting compares: strings regardless of case unless told otherwise.
  private func sortKey(_ value: TemplateValue, isCaseSensitive: Bool) -> TemplateValue {
    guard !isCaseSensitive, let text = value.textValue else { return value }
    return .string(text.lowercased())
  }

  private func sort(
    _ elements: [TemplateValue], by attribute: TemplateValue?, isCaseSensitive: Bool,
    descending: Bool, _ offset: Int
  ) throws -> [TemplateValue] {
    let keys = try project(elements, attribute, offset)
      .map { sortKey($0, isCaseSensitive: isCaseSensitive) }
    // Equal keys keep their order in both directions, as Python's sort has it.
    let order = try elements.indices.sorted { first, second in
      try step(at: offset)
      let (one, other) = descending ? (second, first) : (first, second)
      if try isBefore(keys[one], keys[other], at: offset) { return true }
      if try isBefore(keys[other], keys[one], at: offset) { return false }
      return first < second
    }
    return order.map { elements[$0] }
  }

  private func unique(
    _ elements: [TemplateValue], _ options: [TemplateValue?], _ offset: Int
  ) throws -> [TemplateValue] {
    let isCaseSensitive = options[0]?.isTrue ?? false
    let keys = try project(elements, options[1], offset)
      .map { sortKey($0, isCaseSensitive: isCaseSensitive) }
    var seen: [TemplateValue] = []
    var result: [TemplateValue] = []
    for (element, key) in zip(elements, keys) {
      try step(seen.count, at: offset)
      guard try !seen.contains(where: { try areEqual($0, key, at: offset) }) else { continue }
      seen.append(key)
      result.append(element)
    }
    return result
  }

  private func pairs(
    _ value: TemplateValue, _ name: String, _ offset: Int
  ) throws -> [TemplateValue] {
    if value.isUndefined { return [] }
    guard let dictionary = value.dictionaryValue else {
      throw failure("\(name) needs a mapping, not \(value.kindName)", at: offset)
    }
    try step(dictionary.entries.count, at: offset)
    return dictionary.entries.map { .list([$0.key, $0.value], isTuple: true) }
  }

  private func sortedPairs(
    _ value: TemplateValue, _ options: [TemplateValue?], _ offset: Int
  ) throws -> TemplateValue {
    let isByValue = options[1]?.textValue?.plain == "value"
    return .list(
      try sort(
        pairs(value, "dictsort", offset), by: .int(isByValue ? 1 : 0),
        isCaseSensitive: options[0]?.isTrue ?? false, descending: options[2]?.isTrue ?? false,
        offset))
  }

  private func batch(
    _ elements: [TemplateValue], _ size: Int, _ filler: TemplateValue?, _ offset: Int
  ) throws -> TemplateValue {
    guard size > 0, size <= source.limits.rangeLength else {
      throw failure("batch needs a positive size", at: offset)
    }
    var batches: [TemplateValue] = []
    for start in stride(from: 0, to: elements.count, by: size) {
      var batch = Array(elements[start..<min(start + size, elements.count)])
      if let filler, !filler.isNone {
        batch.append(contentsOf: repeatElement(filler, count: size - batch.count))
      }
      batches.append(.list(batch))
    }
    return try checked(.generator(batches), at: offset)
  }
}
