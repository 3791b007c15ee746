// A run on images: random latents for a tiny transformer of the goldens, and a recipe.
import Foundation
import QLoRAFormats
import QLoRARecipe
import QLoRATensor
import TestSupport

struct TinyImageRun {
  let folder: TemporaryFolder
  var output: String { folder.path("run") }

  /// - Parameter family: `tiny-flux` or `tiny-sd3`.
  init(_ family: String) throws {
    folder = try TemporaryFolder()
    for (set, count) in [("train", 5), ("held-out", 2)] {
      let path = folder.url.appending(path: set)
      try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
      for index in 0..<count {
        var random = SeededGenerator(seed: UInt64(index))
        // Of two sizes, so that batches mix them.
        let shape: Shape = index % 2 == 0 ? [4, 4, 6] : [1, 4, 4, 4]
        let tensors = [
          (name: "latents", tensor: Tensor(random.normals(shape.count), shape: shape)),
          (name: "prompt_embeds", tensor: Tensor(random.normals(5 * 24), shape: [5, 24])),
          (name: "pooled_prompt_embeds", tensor: Tensor(random.normals(20), shape: [20])),
        ]
        var bytes: [UInt8] = []
        try SafetensorsWriter.write(tensors) { bytes.append(contentsOf: $0) }
        try Data(bytes).write(to: path.appending(path: "\(index).safetensors"))
      }
    }
    let recipe = """
      {
        "task": "image",
        "model": {"path": "\(Goldens.path(family))", "computeDType": "float32"},
        "adapter": {"rank": 4, "alpha": 6, "dropout": 0.1},
        "data": {
          "train": [{"path": "train", "format": "latents"}],
          "validation": [{"path": "held-out", "format": "latents"}]
        },
        "image": {"shift": 3, "weighting": "square"},
        "training": {
          "steps": 4, "batchSize": 2, "gradientAccumulation": 2, "evalEvery": 2, "saveEvery": 2,
          "optimizer": {"learningRate": 0.01}, "schedule": {"warmupSteps": 0}
        },
        "threads": 2,
        "output": "\(folder.path("run"))"
      }
      """
    try Data(recipe.utf8).write(to: folder.url.appending(path: "recipe.json"))
  }

  func recipe(_ overrides: [RecipeOverride] = []) throws -> ResolvedRecipe {
    try RecipeLoader.load(path: folder.path("recipe.json"), overrides: overrides)
  }

  func override(_ path: String, _ text: String) -> RecipeOverride {
    RecipeOverride(path, .string(text), spelled: "--set \(path)=\(text)")
  }
}
