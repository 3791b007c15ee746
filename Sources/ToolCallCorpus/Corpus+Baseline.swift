// The baseline without a model: answer with the answer of the most similar training request. What
// it reaches is what a test row could get by memory alone.

extension Corpus {
  /// Fraction of the test rows that the nearest training row answers exactly.
  ///
  /// Nearest: largest cosine of the two requests' words, each weighted by
  /// log(1 + rows ÷ rows with the word); the first of equals.
  public static func nearestRowExactMatch(train: [CorpusRow], test: [CorpusRow]) -> Double {
    var rowsWithWord: [String: Int] = [:]
    let trainWords = train.map { Set(words($0.user)) }
    for row in trainWords { for word in row { rowsWithWord[word, default: 0] += 1 } }
    func weight(_ word: String) -> Double {
      approximateLogarithm(1 + Double(train.count) / Double(rowsWithWord[word, default: 1]))
    }
    func squaredLength(_ row: Set<String>) -> Double {
      row.sorted().reduce(0) { $0 + weight($1) * weight($1) }
    }
    var rowsByWord: [String: [Int]] = [:]
    for (index, row) in trainWords.enumerated() {
      for word in row { rowsByWord[word, default: []].append(index) }
    }
    let lengths = trainWords.map { squaredLength($0).squareRoot() }
    var hits = 0
    for row in test {
      var products = [Double](repeating: 0, count: train.count)
      for word in Set(words(row.user)).sorted() {
        for index in rowsByWord[word] ?? [] { products[index] += weight(word) * weight(word) }
      }
      var nearest = 0
      for index in 1..<train.count
      where products[index] / lengths[index] > products[nearest] / lengths[nearest] {
        nearest = index
      }
      if train[nearest].answer == row.answer { hits += 1 }
    }
    return Double(hits) / Double(test.count)
  }

  /// log₂ with the mantissa's part taken linear: weights need order, not digits, and this is the
  /// same on every platform.
  private static func approximateLogarithm(_ value: Double) -> Double {
    Double(value.exponent) + value.significand - 1
  }
}
