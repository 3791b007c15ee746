// Python's methods of strings.

extension TemplateRenderer {
  func textMethod(
    _ name: String, _ text: TaggedText, _ origin: TextOrigin, _ arguments: ValueArguments,
    at offset: Int
  ) throws -> TemplateValue {
    let isMarkup = text.isMarkup
    func made(_ text: TaggedText) -> TemplateValue {
      TemplateValue(.string(text.marked(isMarkup)), origin)
    }
    func given(_ index: Int) -> TaggedText? {
      arguments.positional.indices.contains(index) ? arguments.positional[index].textValue : nil
    }
    switch name {
    case "strip": return made(text.stripped(given(0), left: true, right: true))
    case "lstrip": return made(text.stripped(given(0), left: true, right: false))
    case "rstrip": return made(text.stripped(given(0), left: false, right: true))
    case "upper": return made(text.uppercased())
    case "lower": return made(text.lowercased())
    case "title": return made(text.titlecased())
    case "capitalize": return made(text.capitalized())
    case "split", "rsplit":
      let values = try bind(arguments, ["sep", "maxsplit"], "\(name)()", at: offset)
      let limit = values[1]?.intValue ?? -1
      let parts = try split(
        text, values[0]?.textValue, limit < 0 ? Int.max : limit, fromRight: name == "rsplit",
        at: offset)
      return .list(parts.map(made))
    case "splitlines":
      var lines = splitLines(text)
      if lines.last?.isEmpty == true { lines.removeLast() }
      return .list(lines.map(made))
    case "join":
      let items = try arguments.positional.first.map { try iterate($0, at: offset) } ?? []
      if let other = items.first(where: { $0.textValue == nil }) {
        throw failure("join() needs strings, not \(other.kindName)", at: offset)
      }
      return .string(try join(items, text, at: offset, isMarkup: isMarkup))
    case "replace":
      let values = try bind(arguments, ["old", "new", "count"], "replace()", at: offset)
      guard let old = values[0]?.textValue, let new = values[1]?.textValue else {
        throw failure("replace() needs two strings", at: offset)
      }
      let inserted = isMarkup ? try escaped(new, at: offset) : new
      let replaced = try replace(text, old, inserted, values[2]?.intValue, at: offset)
      return .string(replaced.marked(isMarkup))
    case "startswith", "endswith":
      return .bool(try hasEnd(text, arguments, atStart: name == "startswith", name, offset))
    case "isdigit": return .bool(all(text) { $0.properties.numericType == .decimal
      || $0.properties.numericType == .digit })
    case "isalpha": return .bool(all(text) { ScalarClass.of($0) == .letter })
    case "isspace": return .bool(all(text) { $0.isPythonSpace })
    default:
      guard let needle = given(0) else { throw failure("\(name)() needs a string", at: offset) }
      return try search(name, text, needle, origin, at: offset)
    }
  }

  private func search(
    _ name: String, _ text: TaggedText, _ needle: TaggedText, _ origin: TextOrigin, at offset: Int
  ) throws -> TemplateValue {
    switch name {
    case "find": return .int(text.find(needle) ?? -1)
    case "rfind": return .int(text.findLast(needle, before: text.count) ?? -1)
    case "count":
      if needle.isEmpty { return .int(text.count + 1) }
      var (count, position) = (0, 0)
      while let place = text.find(needle, from: position) {
        count += 1
        position = place + needle.count
      }
      try step(count / 4, at: offset)
      return .int(count)
    case "removeprefix":
      let cut = text.matches(needle, at: 0) ? needle.count : 0
      return TemplateValue(.string(text[cut..<text.count].marked(text.isMarkup)), origin)
    default:
      let cut = text.matches(needle, at: text.count - needle.count) ? needle.count : 0
      return TemplateValue(.string(text[0..<text.count - cut].marked(text.isMarkup)), origin)
    }
  }

  private func all(_ text: TaggedText, _ test: (Unicode.Scalar) -> Bool) -> Bool {
    !text.isEmpty && text.scalars.allSatisfy { test($0.scalar) }
  }

  private func hasEnd(
    _ text: TaggedText, _ arguments: ValueArguments, atStart: Bool, _ name: String, _ offset: Int
  ) throws -> Bool {
    guard let first = arguments.positional.first else {
      throw failure("\(name)() needs a string", at: offset)
    }
    let wanted = first.listValue?.elements ?? [first]
    for value in wanted {
      try step(1 + value.weight / 8, at: offset)
      guard let needle = value.textValue else {
        throw failure("\(name)() needs a string, not \(value.kindName)", at: offset)
      }
      if text.matches(needle, at: atStart ? 0 : text.count - needle.count) { return true }
    }
    return false
  }

  private func split(
    _ text: TaggedText, _ separator: TaggedText?, _ limit: Int, fromRight: Bool, at offset: Int
  ) throws -> [TaggedText] {
    guard let separator else {
      let parts = splitAtBlanks(text, limit, fromRight: fromRight)
      try step(2 * parts.count, at: offset)
      return parts
    }
    guard !separator.isEmpty else { throw failure("split() by an empty string", at: offset) }
    var parts: [TaggedText] = []
    if fromRight {
      var end = text.count
      while parts.count < limit, let place = text.findLast(separator, before: end) {
        parts.append(text[place + separator.count..<end])
        end = place
      }
      parts.append(text[0..<end])
      try step(2 * parts.count, at: offset)
      return parts.reversed()
    }
    var start = 0
    while parts.count < limit, let place = text.find(separator, from: start) {
      parts.append(text[start..<place])
      start = place + separator.count
    }
    parts.append(text[start..<text.count])
    try step(2 * parts.count, at: offset)
    return parts
  }

  private func splitAtBlanks(_ text: TaggedText, _ limit: Int, fromRight: Bool) -> [TaggedText] {
    let whole = TaggedText(fromRight ? text.scalars.reversed() : text.scalars)
    var parts: [TaggedText] = []
    var rest = whole.stripped(nil, left: true, right: false).scalars[...]
    while !rest.isEmpty {
      let end = rest.firstIndex { $0.scalar.isPythonSpace } ?? rest.endIndex
      if parts.count == limit {
        parts.append(TaggedText(rest))
        break
      }
      parts.append(TaggedText(rest[..<end]))
      rest = rest[end...].drop { $0.scalar.isPythonSpace }
    }
    return fromRight ? parts.reversed().map { TaggedText($0.scalars.reversed()) } : parts
  }
}
