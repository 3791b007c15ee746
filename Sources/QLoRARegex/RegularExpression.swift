// Regular expressions in other people's recipes and adapters, matched by Oniguruma within a bound.
import COniguruma

/// Why an expression gives no answer.
package enum RegularExpressionError: Error, Equatable {
  /// What Oniguruma says of the pattern.
  case invalid(String)
  /// Matching went back more often than `RegularExpression.retryLimit`.
  case gaveUp
}

/// An expression in the syntax of Python's `re`, in which PEFT's are written.
///
/// Expressions such as `(a+)+b` take time that doubles with every letter. Who wrote this one is not
/// known, so a match gives up in the end.
package final class RegularExpression: Sendable {
  /// How often one match may go back; a sensible expression does so as often as a name has letters.
  package static let retryLimit = 100_000
  /// Groups within groups; the parser recurses for each.
  private static let depthLimit: UInt32 = 200

  private static let initialized: Bool = {
    let code = qlora_onig_initialize()
    onig_set_retry_limit_in_match(UInt(retryLimit))
    onig_set_parse_depth_limit(depthLimit)
    return code == ONIG_NORMAL
  }()

  package let pattern: String
  // SAFETY: a compiled expression is not changed by matching; only `deinit` frees it.
  private nonisolated(unsafe) let whole: OnigRegex

  /// - Throws: `invalid`.
  package init(_ pattern: String) throws(RegularExpressionError) {
    self.pattern = pattern
    // The bare pattern first: what `a)(b` means must not depend on what is put round it.
    onig_free(try Self.compile(pattern))
    // `\z` is not Python's, and its `\Z` other engines' end of line.
    whole = try Self.compile("(?:" + pattern + ")(?![\\s\\S])")
  }

  deinit { onig_free(whole) }

  /// Whether the expression matches all of `text`, as `re.fullmatch` does.
  ///
  /// - Throws: `gaveUp`.
  package func matchesWhole(_ text: String) throws(RegularExpressionError) -> Bool {
    var text = text
    let found = text.withUTF8 { bytes -> Int32 in
      // SAFETY: the pointers are those of one buffer that outlives the call; an empty one may have
      // none, and then both ends are the same constant place.
      withExtendedLifetime(self) {
        bytes.withMemoryRebound(to: OnigUChar.self) { letters in
          let none = UnsafePointer<OnigUChar>(bitPattern: 1)
          let start = letters.baseAddress ?? none
          let end = letters.baseAddress.map { $0 + letters.count } ?? none
          return onig_match(whole, start, end, start, nil, OnigOptionType(ONIG_OPTION_NONE))
        }
      }
    }
    if found >= 0 { return true }
    if found == ONIG_MISMATCH { return false }
    throw .gaveUp
  }

  /// How a pattern is compiled: the syntax that it is read by.
  typealias Compiler = (
    UnsafeMutablePointer<OnigRegex?>?, UnsafePointer<OnigUChar>?, UnsafePointer<OnigUChar>?,
    UnsafeMutablePointer<OnigUChar>?
  ) -> Int32

  static func compile(
    _ pattern: String, _ compiler: Compiler = qlora_onig_compile
  ) throws(RegularExpressionError) -> OnigRegex {
    precondition(initialized, "Oniguruma can be initialized")
    var message = [OnigUChar](repeating: 0, count: Int(ONIG_MAX_ERROR_MESSAGE_LEN))
    let letters = Array(pattern.utf8)
    // SAFETY: the buffers outlive the call, which copies the pattern and ends the message with a
    // zero within the length that its header names.
    let compiled = letters.withUnsafeBufferPointer { pattern -> OnigRegex? in
      let start = pattern.baseAddress ?? UnsafePointer(bitPattern: 1)
      let end = pattern.baseAddress.map { $0 + pattern.count } ?? start
      return message.withUnsafeMutableBufferPointer { message in
        var regex: OnigRegex?
        let code = compiler(&regex, start, end, message.baseAddress)
        return code == ONIG_NORMAL ? regex : nil
      }
    }
    if let compiled { return compiled }
    throw .invalid(String(decoding: message.prefix { $0 != 0 }, as: UTF8.self))
  }
}
