// Words of one script each. Kana counts as Han; characters of no script go with those before them.
// Source: the UnicodeScripts splitter of PyPI `tokenizers`, which sentencepiece's trainer began.

enum ScriptRuns {
  /// Where runs of one script begin, and their scripts; 0 is none.
  private static let runs: [(start: UInt32, script: UInt32)] = {
    var numbers = PackedNumbers(base64: ScriptData.packed)
    var start: UInt32 = 0
    return (0..<numbers.next()).map { _ in
      start += numbers.next()
      return (start, numbers.next())
    }
  }()

  private static func script(_ scalar: Unicode.Scalar) -> UInt32 {
    let next = runs.partitioningIndex { $0.start > scalar.value }
    return next == 0 ? 0 : runs[next - 1].script
  }

  /// What stands before the first character of a script is dropped, as it is there.
  static func append(_ bytes: [UInt8], _ word: Range<Int>, into words: inout [Range<Int>]) {
    var (start, last) = (word.lowerBound, UInt32(0))
    DecodedScalar.forEach(bytes, word) { scalar, range in
      let script = script(scalar)
      guard script != 0, script != last else { return }
      if last != 0 { words.append(start..<range.lowerBound) }
      (start, last) = (range.lowerBound, script)
    }
    if last != 0 { words.append(start..<word.upperBound) }
  }
}
