// What `qlora dashboard` answers: a run's report, read anew from its folder for every request, and
// a version that tells a page whether to fetch it again. It only reads.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAReport
import QLoRASystem

package struct Dashboard: Sendable {
  private let run: String

  package init(_ run: String) { self.run = run }

  package func answer(_ request: LocalRequest) -> LocalResponse {
    if let refusal = LocalResponse.refusal(of: request) { return refusal }
    do {
      switch request.path {
      case "/": return html(ReportPage(try RunView(run)).live(script: Self.script))
      case "/sections": return html(ReportPage(try RunView(run)).sections)
      case "/state": return state()
      case "/run": return json(try RunView(run).json)
      case "/loss.svg":
        let view = try RunView(run)
        return LocalResponse(
          type: "image/svg+xml", view.history.lossChart(title: view.name).svg())
      default: return .failure(404, "there is nothing here")
      }
    } catch {
      return .failure(404, "the run cannot be read: \(error)")
    }
  }

  private func html(_ text: String) -> LocalResponse {
    LocalResponse(type: "text/html; charset=utf-8", text)
  }

  private func json(_ value: JSONValue) -> LocalResponse {
    LocalResponse(type: "application/json", JSONWriter.text(value) + "\n")
  }

  /// Asked for every second, so nothing that grows is read for it.
  private func state() -> LocalResponse {
    let files = PosixFileSystem()
    let sizes = ["metrics.jsonl", "samples.jsonl", "adapter/README.md"].map { name in
      let status = try? files.status(FilePath.join(run, name))
      return status.flatMap { $0 }.map { "\($0.byteCount)" } ?? "-"
    }
    let state = RunView.state(run).rawValue
    return json(
      .dictionary([
        ("state", .string(state)),
        ("version", .string("\(state) \(sizes.joined(separator: " "))")),
      ]))
  }

  /// Looks every second, and keeps open what a reader has opened.
  private static let script = """
    const title = document.title;
    let seen = null;
    async function look() {
      try {
        const state = await (await fetch("state")).json();
        if (seen !== null && seen !== state.version) {
          const text = await (await fetch("sections")).text();
          const main = document.querySelector("main");
          const open = [...main.querySelectorAll("details")].map((part) => part.open);
          main.innerHTML = text;
          main.querySelectorAll("details").forEach((part, i) => { part.open = open[i] || false; });
        }
        seen = state.version;
        document.title = `${state.state}: ${title}`;
      } catch {
        document.title = `not connected: ${title}`;
      }
      setTimeout(look, 1000);
    }
    look();
    """
}
