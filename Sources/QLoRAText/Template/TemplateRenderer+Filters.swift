// The filters on strings, numbers and single values; those on sequences are in the file beside it.
import QLoRAJSON

extension TemplateRenderer {
  func filter(
    _ name: String, _ value: TemplateValue, _ arguments: ValueArguments, at offset: Int
  ) throws -> TemplateValue {
    if let result = try textFilter(name, value, arguments, at: offset) { return result }
    if let result = try valueFilter(name, value, arguments, at: offset) { return result }
    if let result = try sequenceFilter(name, value, arguments, at: offset) { return result }
    throw failure("unknown filter \"\(name)\"", at: offset)
  }

  private static let textFilters: Set<String> = [
    "trim", "lower", "upper", "capitalize", "title", "string", "safe", "escape", "e", "forceescape",
    "replace", "indent", "format",
  ]

  private func textFilter(
    _ name: String, _ value: TemplateValue, _ arguments: ValueArguments, at offset: Int
  ) throws -> TemplateValue? {
    guard Self.textFilters.contains(name) else { return nil }
    let text = try text(of: value, at: offset)
    func bound(_ parameters: [String]) throws -> [TemplateValue?] {
      try charge(text.count, at: offset)
      return try bind(arguments, parameters, "the filter \(name)", at: offset)
    }
    switch name {
    case "trim":
      let characters = try bound(["chars"])[0]?.textValue
      return .string(text.stripped(characters, left: true, right: true).marked(text.isMarkup))
    case "lower":
      _ = try bound([])
      return .string(text.lowercased().marked(text.isMarkup))
    case "upper":
      _ = try bound([])
      return .string(text.uppercased().marked(text.isMarkup))
    case "capitalize":
      _ = try bound([])
      return .string(text.capitalized().marked(text.isMarkup))
    case "title":
      _ = try bound([])
      return .string(titleWords(text))
    case "string", "safe":
      _ = try bound([])
      return .string(name == "safe" ? text.marked() : text)
    case "escape", "e", "forceescape":
      _ = try bound([])
      return .string(try escaped(text.marked(text.isMarkup && name != "forceescape"), at: offset))
    case "replace":
      let values = try bound(["old", "new", "count"])
      guard let first = values[0], let second = values[1] else {
        throw failure("the filter replace needs two strings", at: offset)
      }
      let old = try self.text(of: first, at: offset)
      let new = try self.text(of: second, at: offset)
      return .string(try replace(text, old, new, values[2]?.intValue, at: offset))
    case "format":
      let named = arguments.named.map { (key: TemplateValue.text($0.name), value: $0.value) }
      let values = named.isEmpty
        ? TemplateValue.list(arguments.positional, isTuple: true)
        : TemplateValue(.dictionary(ValueDictionary(named)))
      return .string(try formatted(text, values, at: offset))
    case "indent":
      let values = try bound(["width", "first", "blank"])
      return try indent(
        text, values[0] ?? .int(4), first: values[1]?.isTrue ?? false,
        blank: values[2]?.isTrue ?? false, at: offset)
    default: return nil
    }
  }

  /// Jinja's title: words begin after white space, hyphens and opening brackets only.
  private func titleWords(_ text: TaggedText) -> TaggedText {
    var isFirst = true
    return text.mapScalars { scalar in
      defer { isFirst = scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar) }
      return isFirst ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
    }
  }

  func replace(
    _ text: TaggedText, _ old: TaggedText, _ new: TaggedText, _ limit: Int?, at offset: Int
  ) throws -> TaggedText {
    var remaining = limit.flatMap { $0 < 0 ? nil : $0 } ?? Int.max
    var result = TaggedText()
    var position = 0
    while remaining > 0, let place = text.find(old, from: position) {
      // An empty pattern stands before every character and at the end.
      let end = old.isEmpty ? min(place + 1, text.count) : place + old.count
      try step(at: offset)
      try charge(new.count + end - position, at: offset)
      result.append(text[position..<place])
      result.append(new)
      if old.isEmpty { result.append(text[place..<end]) }
      remaining -= 1
      if old.isEmpty, place == text.count { return result }
      position = end
    }
    try charge(text.count - position, at: offset)
    result.append(text[position..<text.count])
    return result
  }

  private func indent(
    _ text: TaggedText, _ width: TemplateValue, first: Bool, blank: Bool, at offset: Int
  ) throws -> TemplateValue {
    guard let margin = try indentation(width, at: offset) else {
      throw failure("indent needs a width or a string, not \(width.kindName)", at: offset)
    }
    var result = TaggedText()
    for (index, line) in splitLines(text).enumerated() {
      try charge(margin.count + line.count, at: offset)
      if index > 0 { result.append("\n", .template) }
      let isIndented = index == 0 ? first : blank || !line.isEmpty
      if isIndented { result.append(margin) }
      result.append(line)
    }
    return .string(result.marked(text.isMarkup))
  }

  /// A margin given as a number of spaces or as a string.
  func indentation(_ width: TemplateValue, at offset: Int) throws -> TaggedText? {
    if let text = width.textValue { return text }
    guard let count = width.intValue else { return nil }
    // No page is wider; the bound keeps a hostile width from reserving memory.
    guard count <= 1000 else { throw limitFailure("an indentation of \(count)", at: offset) }
    return TaggedText(String(repeating: " ", count: max(count, 0)), .template)
  }

  /// The lines of a text; a line end at its end begins one more.
  func splitLines(_ text: TaggedText) -> [TaggedText] {
    text.scalars.split(omittingEmptySubsequences: false) { $0.scalar == "\n" }
      .map { TaggedText($0) }
  }

  private func valueFilter(
    _ name: String, _ value: TemplateValue, _ arguments: ValueArguments, at offset: Int
  ) throws -> TemplateValue? {
    func bound(_ parameters: [String]) throws -> [TemplateValue?] {
      try bind(arguments, parameters, "the filter \(name)", at: offset)
    }
    switch name {
    case "default", "d":
      let values = try bound(["default_value", "boolean"])
      let isMissing = value.isUndefined || (values[1]?.isTrue == true && !value.isTrue)
      return isMissing ? values[0] ?? .text("") : value
    case "tojson":
      let values = try bound(["ensure_ascii", "indent", "separators", "sort_keys"])
      return try json(value, values, at: offset)
    case "int":
      let values = try bound(["default", "base"])
      let base = values[1]?.intValue ?? 10
      guard (2...36).contains(base) else { throw failure("int of base \(base)", at: offset) }
      return integer(value, base: base) ?? values[0] ?? .int(0)
    case "float":
      let values = try bound(["default"])
      let text = value.textValue?.stripped(nil, left: true, right: true).plain
      let number = value.doubleValue ?? text.flatMap { Double($0) }
      return number.map { TemplateValue(.float($0), value.origin) }
        ?? values[0] ?? TemplateValue(.float(0))
    case "abs":
      _ = try bound([])
      if case .float(let number) = value.payload {
        return TemplateValue(.float(number.magnitude), value.origin)
      }
      guard let number = value.intValue, number != Int.min else {
        throw failure("abs needs a number, not \(value.kindName)", at: offset)
      }
      return TemplateValue(.int(abs(number)), value.origin)
    case "round":
      let values = try bound(["precision", "method"])
      guard let number = value.doubleValue, values[1] == nil,
        let places = values[0].map(\.intValue) ?? 0, (0...15).contains(places)
      else { throw failure("round needs a number and at most 15 places", at: offset) }
      let scale = (0..<places).reduce(1.0) { scale, _ in scale * 10 }
      return TemplateValue(
        .float((number * scale).rounded(.toNearestOrEven) / scale), value.origin)
    default: return nil
    }
  }

  private func integer(_ value: TemplateValue, base: Int) -> TemplateValue? {
    if let number = value.intValue { return TemplateValue(.int(number), value.origin) }
    if case .float(let number) = value.payload {
      return Int(exactly: number.rounded(.towardZero)).map { TemplateValue(.int($0), value.origin) }
    }
    guard let text = value.textValue?.stripped(nil, left: true, right: true).plain else {
      return nil
    }
    if let number = Int(text, radix: base) { return TemplateValue(.int(number), value.origin) }
    return Double(text).flatMap { Int(exactly: $0.rounded(.towardZero)) }
      .map { TemplateValue(.int($0), value.origin) }
  }

  private func json(
    _ value: TemplateValue, _ options: [TemplateValue?], at offset: Int
  ) throws -> TemplateValue {
    var style = TemplateJSONStyle()
    style.escapesNonASCII = options[0]?.isTrue ?? false
    if let width = options[1], !width.isNone {
      style.indent = try indentation(width, at: offset)?.plain
      style.itemSeparator = ","
    }
    if let separators = options[2]?.listValue?.elements, separators.count == 2 {
      style.itemSeparator = try text(of: separators[0], at: offset).plain
      style.keySeparator = try text(of: separators[1], at: offset).plain
    }
    style.sortsKeys = options[3]?.isTrue ?? false
    // A part weighs two at least, so this also bounds what separators and indentation add.
    let separators = style.itemSeparator.utf8.count + style.keySeparator.utf8.count
    let margins = (style.indent?.utf8.count ?? 0) * value.depth
    let (characters, overflow) = (value.weight / 2).multipliedReportingOverflow(
      by: 2 + separators + margins)
    try charge(overflow ? Int.max : characters, at: offset)
    guard let text = style.text(value) else {
      throw failure("\(value.kindName) or a part of it has no JSON text", at: offset)
    }
    try charge(text.count, at: offset)
    return .string(text)
  }
}
