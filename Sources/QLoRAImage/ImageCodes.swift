// The failures of image models, for messages and `qlora explain`.
import QLoRADiagnostics

extension DiagnosticCode {
  package static let imageModelUnknown = DiagnosticCode(
    "E0540", .badData,
    """
    A folder's config.json names a class that is no image model of this program. It runs \
    FluxTransformer2DModel and SD3Transformer2DModel, with AutoencoderKL, CLIPTextModel and \
    T5EncoderModel around them. `qlora quantize` and `qlora inspect` take any class.
    """)
  package static let imageConfigInvalid = DiagnosticCode(
    "E0541", .badData,
    """
    A member of a part's config.json is missing, of a wrong type, or asks for what this program \
    does not compute. Usually the file comes from another model than the weights, or was edited.
    """)
  package static let imageDataInvalid = DiagnosticCode(
    "E0542", .badData,
    """
    A file of cached latents does not fit the model: each holds `latents` [channels, height, \
    width], `prompt_embeds` [tokens, width] and `pooled_prompt_embeds` [width], as the transformer \
    takes them. `qlora latents` writes such files from pictures and captions.
    """)
  package static let imageDataMissing = DiagnosticCode(
    "E0543", .inputMissing,
    "A folder of cached latents is not there, or holds no .safetensors file.")
  package static let imageUnsupported = DiagnosticCode(
    "E0544", .usage,
    """
    A command or an adapter was given an image model that only takes language models. Recipes of \
    the task `image` run with `train`, `resume`, `plan` and `verify-resume`; their adapters go \
    to `qlora image --adapter` and to diffusers.
    """)

  package static let imagePromptInvalid = DiagnosticCode(
    "E0545", .badData,
    """
    A prompt's tokens or embeddings, or the noise to begin with, do not fit the pipeline: tokens \
    must be in the encoders' vocabularies, embeddings as wide as the transformer takes them, and \
    noise [channels, height, width] of the picture's latents.
    """)
  package static let imageSizeInvalid = DiagnosticCode(
    "E0546", .usage,
    "A picture's sides must be multiples of what a patch of latents covers, usually 16 pixels, and "
      + "within what the model has places for.")

  package static let allImageCodes: [DiagnosticCode] = [
    imageModelUnknown, imageConfigInvalid, imageDataInvalid, imageDataMissing, imageUnsupported,
    imagePromptInvalid, imageSizeInvalid,
  ]
}
