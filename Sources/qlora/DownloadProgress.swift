// What a download says while it goes on: a redrawn line on a terminal, a line per file elsewhere.
import QLoRAHub
import QLoRAReport

final class DownloadProgress {
  private let line: StatusLine
  private let isQuiet: Bool
  private let clock = ContinuousClock()
  private var lastShown: ContinuousClock.Instant?
  /// The bytes of a file at a moment, to tell the speed from.
  private var mark: (file: String, bytes: Int, moment: ContinuousClock.Instant)?
  private var fileCount = 0
  private var fileNumber = 0

  /// Between two looks that a terminal gets.
  private static let pause = Duration.milliseconds(200)

  init(isQuiet: Bool) {
    self.isQuiet = isQuiet
    line = StatusLine(isQuiet: isQuiet)
  }

  func show(_ event: HubEvent) {
    switch event {
    case .started(let files, let bytes):
      fileCount = files
      if files > 0 { say("\(files) files, \(ProgressText.size(bytes)) to fetch") }
    case .arrived(let file, let bytes, let total): redraw(file, bytes, total)
    case .fetched(let file, let bytes):
      fileNumber += 1
      say("[\(fileNumber)/\(fileCount)] \(Self.plain(file))  \(ProgressText.size(bytes))")
    case .waiting(let file): say("another process fetches \(Self.plain(file)); waiting for it")
    case .retrying(let file, let reason):
      line.show("\(Self.plain(file)): \(Self.plain(reason)); trying again")
    case .warning(let text): Console.error("warning: \(text)")
    }
  }

  func clear() { line.clear() }

  func finish(_ report: HubReport) {
    if !report.askedServer { say("already in the cache; --refresh asks the server what is new") }
  }

  private func say(_ text: String) {
    guard !isQuiet else { return }
    line.clear()
    Console.error(text)
  }

  private func redraw(_ file: String, _ bytes: Int, _ total: Int) {
    let now = clock.now
    if let lastShown, now - lastShown < Self.pause { return }
    lastShown = now
    let start = mark.flatMap { $0.file == file && $0.bytes <= bytes ? $0 : nil }
    mark = start ?? (file, bytes, now)
    let seconds = start.map { Double((now - $0.moment).components.seconds) } ?? 0
    let speed = seconds >= 1 ? Double(bytes - (start?.bytes ?? 0)) / seconds / Double(1 << 20) : nil
    let rate = speed.map { ", \(ProgressText.decimal($0, 1)) MiB/s" } ?? ""
    let percent = total > 0 ? bytes / max(1, total / 100) : 100
    line.show(
      "\(Self.plain(file))  \(ProgressText.size(bytes)) of \(ProgressText.size(total)), "
        + "\(min(100, percent)) %\(rate)")
  }

  /// Without what could move a terminal's cursor.
  private static func plain(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }))
  }
}
