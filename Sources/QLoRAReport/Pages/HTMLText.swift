// Text of people and models made harmless for pages: nothing in it becomes markup, and what would
// turn the order of letters round is shown instead of obeyed.

package enum HTMLText {
  /// For text and for values of attributes in double or single quotes.
  package static func escape(_ text: String) -> String {
    var output = ""
    output.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": output += "&amp;"
      case "<": output += "&lt;"
      case ">": output += "&gt;"
      case "\"": output += "&quot;"
      case "'": output += "&#39;"
      default: output += visible(scalar)
      }
    }
    return output
  }

  /// For terminals: control characters would move the cursor or change colours.
  package static func plain(_ text: String) -> String {
    text.unicodeScalars.map(visible).joined()
  }

  /// A scalar as it is, or its number in braces where it would act instead of being seen.
  private static func visible(_ scalar: Unicode.Scalar) -> String {
    switch scalar.value {
    case 0x0A, 0x09: String(scalar)
    // Controls of both sets, then marks, embeddings, overrides and isolates of direction.
    case 0..<0x20, 0x7F...0x9F, 0x061C, 0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069:
      "{U+" + String(scalar.value, radix: 16, uppercase: true) + "}"
    default: String(scalar)
    }
  }
}
