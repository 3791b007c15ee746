// Counts what looks like a control token in people's text, so that a run can say that it met some.
// It changes nothing: the tokenizer never makes control tokens of such text.
import QLoRAText

struct ControlLookalikes: Sendable {
  /// The spellings of the control tokens by their first byte.
  private var spellings: [UInt8: [[UInt8]]] = [:]

  init(_ tokenizer: Tokenizer) {
    for id in 0..<Int32(tokenizer.vocabularyCount) where tokenizer.isControl(id) {
      let spelling = Array(tokenizer.text(of: id).utf8)
      // A single byte is no markup; counting it would only alarm.
      if spelling.count > 1 { spellings[spelling[0], default: []].append(spelling) }
    }
  }

  func count(in text: String) -> Int {
    let bytes = Array(text.utf8)
    var count = 0
    for start in bytes.indices {
      guard let candidates = spellings[bytes[start]] else { continue }
      if candidates.contains(where: { bytes[start...].starts(with: $0) }) { count += 1 }
    }
    return count
  }
}
