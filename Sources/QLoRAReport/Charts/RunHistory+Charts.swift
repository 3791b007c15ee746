// The curves of a run: which there are, and what they are smoothed by.
import QLoRATraining

extension RunHistory {
  /// Steps on either side that a smoothed line averages, where there are many steps.
  private static let widestReach = 10

  package func points(_ value: (StepMetrics) -> Double) -> [LineChart.Point] {
    steps.map { .init(step: $0.step, value: value($0)) }
  }

  package var losses: [LineChart.Point] { points(\.loss) }

  package var evaluationLosses: [LineChart.Point] {
    evaluations.map { .init(step: $0.step, value: $0.loss) }
  }

  /// The mean of the values around each step: centred, so that it lags behind no fall.
  package static func smoothed(_ points: [LineChart.Point]) -> [LineChart.Point] {
    let points = points.filter { $0.value.isFinite }
    let reach = min(widestReach, points.count / 20)
    return points.indices.map { index in
      // As narrow at the start as there are values before, or the first fall would be flattened.
      let reach = min(reach, index)
      let near = points[(index - reach)...min(points.count - 1, index + reach)]
      let mean = near.reduce(0) { $0 + $1.value } / Double(near.count)
      return .init(step: points[index].step, value: mean)
    }
  }

  /// The training loss, smoothed and raw, with evaluations as dots.
  package func lossChart(title: String) -> LineChart {
    LineChart(
      title: title,
      series: [
        .init("raw", losses, .faint), .init("training", Self.smoothed(losses)),
        .init("validation", evaluationLosses, .dots, color: 1),
      ])
  }

  /// All the figures of a report.
  var charts: [LineChart] {
    func chart(_ title: String, _ name: String, smooths: Bool, _ value: (StepMetrics) -> Double)
      -> LineChart
    {
      let all = points(value)
      return LineChart(
        title: title,
        series: smooths
          ? [.init("raw", all, .faint), .init(name, Self.smoothed(all))] : [.init(name, all)])
    }
    return [
      lossChart(title: "Loss"),
      chart("Learning rate", "rate", smooths: false, \.learningRate),
      chart("Gradient norm", "norm", smooths: true, \.gradientNorm),
      chart("Tokens per second", "tokens/s", smooths: true, \.tokensPerSecond),
      chart("Peak memory, MiB", "MiB", smooths: false) { Double($0.peakMemoryBytes >> 20) },
    ]
  }

  /// The losses of several runs, and their evaluations, in one picture.
  package static func comparison(
    title: String, _ runs: [(name: String, history: RunHistory)]
  ) -> LineChart {
    LineChart(
      title: title,
      series: runs.enumerated().flatMap { index, run -> [LineChart.Series] in
        let color = index
        let training = LineChart.Series(run.name, smoothed(run.history.losses), color: color)
        let evaluation = LineChart.Series(
          "\(run.name), validation", run.history.evaluationLosses, .dots, color: color)
        return run.history.evaluations.isEmpty ? [training] : [training, evaluation]
      })
  }
}
