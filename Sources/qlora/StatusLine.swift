// One line of progress on stderr that is redrawn in place; silent where stderr is no terminal.

struct StatusLine {
  let isQuiet: Bool

  init(isQuiet: Bool = false) { self.isQuiet = isQuiet || !Console.stderrIsTerminal }

  func show(_ text: String) {
    if !isQuiet { Console.errorPart("\r\u{1B}[K\(text)") }
  }

  func clear() {
    if !isQuiet { Console.errorPart("\r\u{1B}[K") }
  }
}
