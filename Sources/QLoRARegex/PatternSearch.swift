// Regular expressions of tokenizer files, searched for along a text by Oniguruma within a bound.
import COniguruma

/// An expression in Oniguruma's own syntax, in which PyPI `tokenizers` reads those of its files.
package final class PatternSearch: Sendable {
  /// How often one match may go back. A pattern of a real tokenizer does so as often as a run of
  /// blanks is long.
  package static let retryLimit = 1_000_000

  package let pattern: String
  // SAFETY: a compiled expression is not changed by searching; only `deinit` frees it.
  fileprivate nonisolated(unsafe) let expression: OnigRegex

  /// - Throws: `invalid`.
  package init(_ pattern: String) throws(RegularExpressionError) {
    self.pattern = pattern
    expression = try RegularExpression.compile(pattern, qlora_onig_compile_native)
  }

  deinit { onig_free(expression) }

  /// As `PatternScan.forEachMatch`, for one range.
  package func forEachMatch(
    in bytes: [UInt8], _ range: Range<Int>, _ body: (Range<Int>) -> Void
  ) -> Bool {
    PatternScan(self).forEachMatch(in: bytes, range, body)
  }
}

/// What searching for one expression needs beside it, kept from range to range.
package struct PatternScan: ~Copyable {
  private let search: PatternSearch
  // SAFETY: both are made here and freed by `deinit`; nothing else knows them.
  private let region: UnsafeMutablePointer<OnigRegion>?
  private let limits: OpaquePointer?

  package init(_ search: PatternSearch) {
    self.search = search
    region = onig_region_new()
    limits = onig_new_match_param()
    onig_initialize_match_param(limits)
    onig_set_retry_limit_in_match_of_match_param(limits, UInt(PatternSearch.retryLimit))
  }

  deinit {
    onig_region_free(region, 1)
    onig_free_match_param(limits)
  }

  /// Calls `body` with each match in a range of `bytes`, which is valid UTF-8 and seen as a text of
  /// its own, from left to right. An empty match at the end of the one before is none.
  ///
  /// - Returns: whether the search came to the end; false where a match went back too often, from
  ///   where on there are no more matches.
  package func forEachMatch(
    in bytes: [UInt8], _ range: Range<Int>, _ body: (Range<Int>) -> Void
  ) -> Bool {
    bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress, let region, !range.isEmpty else { return true }
      // SAFETY: the addresses lie in the buffer, whose range the caller gives, and the region is
      // filled where a match is found.
      let start = base + range.lowerBound
      let end = base + range.upperBound
      var place = start
      var lastEnd: UnsafePointer<UInt8>?
      while place <= end {
        let found = onig_search_with_param(
          search.expression, start, end, place, end, region, OnigOptionType(ONIG_OPTION_NONE),
          limits)
        guard found >= 0 else { return found == ONIG_MISMATCH }
        let first = start + Int(region.pointee.beg[0])
        let last = start + Int(region.pointee.end[0])
        if first == last, last == lastEnd {
          guard place < end else { return true }
          place += Self.length(place.pointee)
          continue
        }
        place = last
        lastEnd = last
        body(first - base..<last - base)
      }
      return true
    }
  }

  private static func length(_ first: UInt8) -> Int {
    first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
  }
}
