// The colours of charts on light and on dark pages.

enum ChartStyle {
  /// Blue and orange first, which people of any colour vision tell apart; more for comparisons.
  private static let colors: [(light: String, dark: String)] = [
    ("#0969da", "#58a6ff"), ("#bc4c00", "#f0883e"), ("#1a7f37", "#3fb950"),
    ("#8250df", "#bc8cff"), ("#bf3989", "#f778ba"), ("#656d76", "#8b949e"),
  ]

  static let colorCount = colors.count

  /// Every rule is about things inside `.chart`, so that pages can have it among their own.
  static let css: String = {
    func rules(_ color: KeyPath<(light: String, dark: String), String>) -> String {
      colors.enumerated().map { index, pair in
        ".chart .c\(index) { --ink: \(pair[keyPath: color]) }"
      }.joined(separator: "\n")
    }
    return """
      .chart { font: 12px system-ui, sans-serif; background: #fff; color: #1f2328 }
      .chart .title { font-size: 15px; font-weight: 600; fill: currentColor }
      .chart .label { fill: #59636e }
      .chart .grid { stroke: #d8dee4; stroke-width: 1 }
      .chart .curve { fill: none; stroke: var(--ink); stroke-width: 2; stroke-linejoin: round }
      .chart .faint { stroke-width: 1; stroke-opacity: 0.35 }
      .chart .dot { fill: var(--ink) }
      \(rules(\.light))
      @media (prefers-color-scheme: dark) {
      .chart { background: #0d1117; color: #e6edf3 }
      .chart .label { fill: #9198a1 }
      .chart .grid { stroke: #30363d }
      \(rules(\.dark))
      }
      """
  }()
}
