// What a user asks a picture by.
import QLoRAModels

package struct ImageRequest {
  /// A pipeline's folder.
  package var model: String
  package var adapter: String?
  package var prompt: ImagePrompt
  package var width: Int
  package var height: Int
  package var steps: Int
  /// nil takes the family's usual one.
  package var guidance: Double?
  package var seed: UInt64
  /// A safetensors file whose `latents` are the noise to begin with, instead of the seed's.
  package var noisePath: String?
  /// `nf4`, `fp4`, `int8`, `none`, or nil: as the adapter was trained, and `none` without one.
  package var quantization: String?
  /// nil: as the adapter was trained, else bfloat16.
  package var computeDType: String?
  package var threads: Int

  package init(
    model: String, adapter: String?, prompt: ImagePrompt, width: Int, height: Int, steps: Int,
    guidance: Double?, seed: UInt64, noisePath: String?, quantization: String?,
    computeDType: String?, threads: Int
  ) {
    self.model = model
    self.adapter = adapter
    self.prompt = prompt
    self.width = width
    self.height = height
    self.steps = steps
    self.guidance = guidance
    self.seed = seed
    self.noisePath = noisePath
    self.quantization = quantization
    self.computeDType = computeDType
    self.threads = threads
  }
}

package enum ImagePrompt {
  /// - Parameters:
  ///   - negative: what the picture is to be unlike, where the family is guided by it.
  ///   - maxTokens: of T5; nil takes the family's usual number.
  case text(String, negative: String, maxTokens: Int?)
  /// A JSON file with the tokens for each tokenizer's folder, padding included.
  case tokens(path: String)
  /// A safetensors file with `prompt_embeds` and `pooled_prompt_embeds`, as cached for training.
  case embeddings(path: String)
}

/// What a generation tells its listener.
package enum ImageProgress: Sendable {
  /// A part of the pipeline and the fraction of it that is loaded.
  case loading(part: String, Double)
  case step(Int, of: Int)
}
