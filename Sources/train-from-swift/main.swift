// Trains an adapter from Swift and asks the result, run by `swift run -c release train-from-swift`.
import QLoRA

let base = "Models/SmolLM2-135M-Instruct.Q4_1.gguf"
var recipe = TrainingRecipe(
  model: base, rows: ["Datasets/tool-calls/train.jsonl"], name: "from-swift")
recipe.set("training.steps", to: 20)
recipe.set("training.optimizer.learningRate", to: 1e-3)
recipe.set("data.maxTokens", to: 256)

do {
  let result = try recipe.train { progress in
    if case .step(let step, let loss, let speed) = progress {
      print("step \(step): loss \(loss), \(Int(speed)) tokens/s")
    }
  }
  let model = try LanguageModel(base, adapter: result.adapter)
  print(
    try model.answer(
      "Dim the kitchen lights to 30 %", system: "Answer with one JSON tool call.", maxTokens: 48))
} catch {
  print(error)
}
