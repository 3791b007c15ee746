// The moment that `strftime_now` speaks of. It is given, never read from a clock: the same data
// must render to the same text on every day.

/// A date and time of day without a zone.
package struct TemplateDate: Sendable, Equatable {
  package var year: Int
  package var month: Int
  package var day: Int
  package var hour: Int
  package var minute: Int
  package var second: Int

  /// The default is the day that the Llama 3.2 templates themselves fall back to.
  package init(
    year: Int = 2024, month: Int = 7, day: Int = 26, hour: Int = 0, minute: Int = 0,
    second: Int = 0
  ) {
    self.year = year
    self.month = min(max(month, 1), 12)
    self.day = day
    self.hour = hour
    self.minute = minute
    self.second = second
  }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
  ]
  private static let weekdays = [
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
  ]

  /// Python's `strftime` in the C locale; codes it lacks stay as they are.
  func text(format: String) -> String {
    var result = ""
    var isCode = false
    for character in format {
      if isCode {
        result += text(code: character)
        isCode = false
      } else if character == "%" {
        isCode = true
      } else {
        result.append(character)
      }
    }
    return isCode ? result + "%" : result
  }

  private func text(code: Character) -> String {
    switch code {
    case "Y": return String(year)
    case "y": return padded(year % 100)
    case "m": return padded(month)
    case "d": return padded(day)
    case "e": return padded(day, with: " ")
    case "H": return padded(hour)
    case "I": return padded((hour + 11) % 12 + 1)
    case "M": return padded(minute)
    case "S": return padded(second)
    case "p": return hour < 12 ? "AM" : "PM"
    case "B": return Self.months[month - 1]
    case "b", "h": return String(Self.months[month - 1].prefix(3))
    case "A": return Self.weekdays[weekday]
    case "a": return String(Self.weekdays[weekday].prefix(3))
    case "w": return String(weekday)
    case "j": return padded(dayOfYear, width: 3)
    case "F": return text(format: "%Y-%m-%d")
    case "T": return text(format: "%H:%M:%S")
    case "D": return text(format: "%m/%d/%y")
    case "%": return "%"
    default: return "%\(code)"
    }
  }

  private func padded(_ value: Int, width: Int = 2, with pad: Character = "0") -> String {
    let digits = String(value)
    return String(repeating: pad, count: max(width - digits.count, 0)) + digits
  }

  private var isLeapYear: Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

  private var dayOfYear: Int {
    let lengths = [31, isLeapYear ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    return lengths[..<(month - 1)].reduce(day, +)
  }

  /// Days from a Sunday; 0001-01-01 of the Gregorian calendar was a Monday.
  private var weekday: Int {
    let before = year - 1
    let days = before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear
    return ((days % 7) + 7) % 7
  }
}
