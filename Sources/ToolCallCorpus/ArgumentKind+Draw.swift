// How a value is said in a request and written in the answer: the corpus's small grammar.
import QLoRAJSON
import QLoRARandom

/// A value as the request says it and as the answer holds it.
struct DrawnValue {
  let said: String
  let answer: JSONValue
}

extension ArgumentKind {
  func draw(_ split: Split, _ generator: inout SplitMix64) -> DrawnValue {
    switch self {
    case .open(let pool):
      let text = generator.pick(pool.values(split))
      return DrawnValue(said: text, answer: .string(text))
    case .percent:
      let number = 5 * (1 + generator.below(19))
      return DrawnValue(
        said: "\(number)" + generator.pick(["%", " %", " percent"]), answer: .int(number))
    case .degrees:
      let number = 15 + generator.below(12)
      return DrawnValue(
        said: "\(number)" + generator.pick([" degrees", " °C"]), answer: .int(number))
    case .time: return Self.drawTime(&generator)
    case .minutes:
      let number = 2 + generator.below(58)
      return DrawnValue(
        said: "\(number)" + generator.pick([" minutes", " minutes", " min"]), answer: .int(number))
    case .count:
      let words = ["two", "three", "four", "five", "six", "seven", "eight"]
      let index = generator.below(words.count)
      return DrawnValue(
        said: generator.below(3) == 0 ? words[index] : "\(index + 2)", answer: .int(index + 2))
    case .day:
      let weekdays = [
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
      ]
      let day = generator.pick(["", "", "next "]) + generator.pick(weekdays)
      return DrawnValue(said: day, answer: .string(day))
    }
  }

  /// Always with its half of the day, so that there is one right answer: the time in digits, on the
  /// clock that the request uses. Turning 6 pm into 18:00 would test arithmetic, which a model of
  /// this size does not learn from a few hundred examples.
  private static func drawTime(_ generator: inout SplitMix64) -> DrawnValue {
    let isEvening = generator.below(2) == 1
    let hour = 5 + generator.below(7)
    let form = generator.below(10)
    let minute = form < 4 ? 0 : form < 9 ? 5 * (1 + generator.below(11)) : 30
    let digits = minute < 10 ? "0\(minute)" : "\(minute)"
    let half = isEvening ? "pm" : "am"
    let onTwelve = "\(hour):\(digits) \(half)"
    let clockHour = isEvening ? hour + 12 : hour
    let onTwentyFour = (clockHour < 10 ? "0" : "") + "\(clockHour):\(digits)"
    let words = ["five", "six", "seven", "eight", "nine", "ten", "eleven"]
    let (said, answer) =
      switch form {
      case 0...3: ("\(hour) \(half)", onTwelve)
      case 4...5: (onTwelve, onTwelve)
      case 6...8: (onTwentyFour, onTwentyFour)
      default:
        ("half past \(words[hour - 5]) in the \(isEvening ? "evening" : "morning")", onTwelve)
      }
    return DrawnValue(said: said, answer: .string(answer))
  }
}
