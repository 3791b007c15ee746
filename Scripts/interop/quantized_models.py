"""Models of many kinds in 4 bits: ours against the libraries' own quantization.

Each is made at random in a small size by its library, with the tensor names that real ones have.
Those of diffusers are skipped where it is not installed.
"""

import importlib.util
import pathlib
import tempfile

import torch
import transformers
from common import finish, qlora, qlora_json, require, run
from quantized import compare_bytes, compare_outputs, flags, settings, tensors

TYPES = [("nf4", True), ("nf4", False), ("fp4", True), ("fp4", False)]
# Models whose frequencies are counted.
ROTARY = ("mistral", "mixtral", "qwen2")
IDS = torch.arange(40).reshape(2, 20)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def small(*without, **more):
    """Sizes under the names that most configurations of transformers have."""
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
             "num_attention_heads": 4, "vocab_size": 128, "max_position_embeddings": 64, **more}
    return {key: size for key, size in sizes.items() if key not in without}


def sizes(kind, width):
    """The same for models of an encoder and a decoder."""
    return {f"{part}_{key}": size for part in ("encoder", "decoder") for key, size in
            (("layers", 2), ("attention_heads", 4), ("ffn_dim", 2 * width))} | {
        "d_model": width, "vocab_size": 128, **kind}


GPT2 = {"n_embd": 128, "n_layer": 2, "n_head": 4, "vocab_size": 128, "n_positions": 64}
IMAGES = {"image_size": 32, "patch_size": 8}
GROUPED = small(num_key_value_heads=2)
VISION = small("vocab_size", "max_position_embeddings", **IMAGES)
WHISPER = sizes({"num_mel_bins": 16, "max_source_positions": 32, "max_target_positions": 64,
                 "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
                 "decoder_start_token_id": 3}, 128)
TOKENS = {"input_ids": IDS}
PIXELS = {"pixel_values": noise(2, 3, 32, 32)}
MODELS = [
    ("MistralForCausalLM", "MistralConfig", GROUPED, TOKENS),
    ("Qwen2ForCausalLM", "Qwen2Config", {**GROUPED, "tie_word_embeddings": True}, TOKENS),
    ("Phi3ForCausalLM", "Phi3Config", {**GROUPED, "pad_token_id": 0}, TOKENS),
    ("GemmaForCausalLM", "GemmaConfig", {**GROUPED, "head_dim": 32}, TOKENS),
    ("MixtralForCausalLM", "MixtralConfig", {**GROUPED, "num_local_experts": 4}, TOKENS),
    ("GPTNeoXForCausalLM", "GPTNeoXConfig", small(), TOKENS),
    ("GPT2LMHeadModel", "GPT2Config", GPT2, TOKENS),
    ("OpenAIGPTLMHeadModel", "OpenAIGPTConfig", GPT2, TOKENS),
    ("BertModel", "BertConfig", small(), TOKENS),
    ("BertForMaskedLM", "BertConfig", small(), TOKENS),
    ("RobertaForMaskedLM", "RobertaConfig", small(), {"input_ids": IDS + 2}),
    ("DistilBertForMaskedLM", "DistilBertConfig",
     {"dim": 128, "hidden_dim": 256, "n_layers": 2, "n_heads": 4, "vocab_size": 128}, TOKENS),
    ("CLIPTextModel", "CLIPTextConfig", small(), TOKENS),
    ("CLIPTextModelWithProjection", "CLIPTextConfig", small(projection_dim=64), TOKENS),
    ("CLIPVisionModelWithProjection", "CLIPVisionConfig",
     {**VISION, "projection_dim": 64}, PIXELS),
    ("CLIPModel", "CLIPConfig",
     {"text_config": small(), "vision_config": VISION, "projection_dim": 64},
     {**TOKENS, **PIXELS}),
    ("ViTForImageClassification", "ViTConfig", {**VISION, "num_labels": 64}, PIXELS),
    ("Dinov2Model", "Dinov2Config", {**VISION, "mlp_ratio": 2}, PIXELS),
    ("WhisperForConditionalGeneration", "WhisperConfig", WHISPER,
     {"input_features": noise(2, 16, 64), "decoder_input_ids": IDS}),
]


def unknown_bytes(model):
    """Bytes of what a model makes for itself and no file tells of."""
    if getattr(model.config, "model_type", None) in ROTARY:
        return 0
    saved = model.state_dict()
    return sum(x.nbytes for key, x in model.named_buffers() if key not in saved)


def compare(name, work, load, forward, library=transformers, kinds=TYPES[:1]):
    """The model `work` / `name` by both ways, and ours read back to plain weights."""
    for kind, double in kinds:
        label = f"{name} {kind}{' double' if double else ''}"
        ours, theirs = (work / f"{name}-{kind}{double}{who}" for who in ("", "-theirs"))
        qlora("quantize", work / name, "--output", ours, *flags(kind, double))
        model = load(work / name, quantization_config=settings(kind, double, library)).eval()
        model.save_pretrained(theirs)
        compare_bytes(label, ours, theirs)
        again = load(ours).eval()
        report = qlora_json("inspect", ours, "--json")
        require(f"{label}: memoryFootprintBytes", report["memoryFootprintBytes"]
                == again.get_memory_footprint() - unknown_bytes(again))
        compare_outputs(label, forward, again, model)
    qlora("dequantize", ours, "--output", work / f"{name}-plain", "--dtype", "fp32")
    shapes = [{key: x.shape for key, x in tensors(work / part).items()}
              for part in (name, f"{name}-plain")]
    require(f"{name} dequantized: the shapes it had", shapes[0] == shapes[1])
    again = load(ours).eval()
    for module in again.modules():
        # In evaluation bitsandbytes repacks weights for products in bf16.
        module.training = type(module).__name__ == "Linear4bit"
    compare_outputs(f"{name} dequantized", forward, load(work / f"{name}-plain").eval(), again)


def of_transformers(work):
    for name, config, values, inputs in MODELS:
        torch.manual_seed(0)
        kind = getattr(transformers, name)
        kind(getattr(transformers, config)(**values)).save_pretrained(work / name)
        compare(name, work, kind.from_pretrained, lambda m: m(**inputs)[0])
    # Its linears are of a class of their own, which transformers leaves alone.
    transformers.FalconForCausalLM(transformers.FalconConfig(
        hidden_size=128, num_hidden_layers=1, num_attention_heads=4, vocab_size=128,
    )).save_pretrained(work / "falcon")
    result = run("quantize", work / "falcon", "--output", work / "falcon-4")
    require("falcon: refused", result.returncode == 65 and "E0253" in result.stderr)


JOINT = {"attention_head_dim": 32, "num_attention_heads": 4, "joint_attention_dim": 128}
SD3 = {**JOINT, "sample_size": 16, "patch_size": 2, "in_channels": 16, "out_channels": 16,
       "num_layers": 2, "caption_projection_dim": 128, "pooled_projection_dim": 64,
       "pos_embed_max_size": 32}
LATENTS = {"hidden_states": noise(1, 16, 16, 16), "encoder_hidden_states": noise(1, 8, 128),
           "timestep": torch.tensor([500.0])}
DIFFUSERS = [
    ("flux", "FluxTransformer2DModel",
     {**JOINT, "patch_size": 1, "in_channels": 64, "num_layers": 1, "num_single_layers": 1,
      "pooled_projection_dim": 64, "axes_dims_rope": (8, 12, 12)},
     {"hidden_states": noise(1, 16, 64), "encoder_hidden_states": noise(1, 8, 128),
      "pooled_projections": noise(1, 64), "timestep": torch.tensor([0.5]),
      "img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(8, 3)}),
    ("sd3", "SD3Transformer2DModel", SD3, {**LATENTS, "pooled_projections": noise(1, 64)}),
    ("sd3.5", "SD3Transformer2DModel",
     {**SD3, "qk_norm": "rms_norm", "dual_attention_layers": (0,)},
     {**LATENTS, "pooled_projections": noise(1, 64)}),
    ("auraflow", "AuraFlowTransformer2DModel",
     {**JOINT, "sample_size": 16, "in_channels": 16, "out_channels": 16, "num_mmdit_layers": 1,
      "num_single_dit_layers": 1, "caption_projection_dim": 128, "pos_embed_max_size": 256},
     {**LATENTS, "timestep": torch.tensor([0.5])}),
    ("wan", "WanTransformer3DModel",
     {"num_attention_heads": 4, "attention_head_dim": 32, "text_dim": 128, "freq_dim": 64,
      "ffn_dim": 256, "num_layers": 2, "rope_max_seq_len": 32},
     {**LATENTS, "hidden_states": noise(1, 16, 1, 16, 16)}),
    ("unet", "UNet2DConditionModel",
     {"sample_size": 16, "block_out_channels": (64, 128), "layers_per_block": 1,
      "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "attention_head_dim": 32,
      "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 64},
     {"sample": noise(1, 4, 16, 16), "encoder_hidden_states": noise(1, 8, 64),
      "timestep": torch.tensor(500)}),
]


def of_diffusers(work):
    if importlib.util.find_spec("diffusers") is None:
        print("diffusers: skipped, it is not installed")
        return
    import diffusers
    from diffusers.quantizers.bitsandbytes.bnb_quantizer import BnB4BitDiffusersQuantizer

    # It insists on a GPU, which the format does not need.
    BnB4BitDiffusersQuantizer.validate_environment = lambda self, *args, **kwargs: None
    for name, kind, values, inputs in DIFFUSERS:
        torch.manual_seed(0)
        model = getattr(diffusers, kind)
        model(**values).save_pretrained(work / name)
        compare(
            name, work, lambda folder, **more: model.from_pretrained(
                folder, torch_dtype=torch.float32, device_map="cpu", **more),
            lambda m: m(**inputs, return_dict=False)[0], diffusers,
            TYPES if name in ("flux", "sd3") else TYPES[:1])
    sd3 = diffusers.SD3Transformer2DModel
    qlora("quantize", work / "sd3", "--output", work / "sd3-skip", "--skip", "proj_out")
    again = sd3.from_pretrained(work / "sd3-skip", torch_dtype=torch.float32, device_map="cpu")
    left = [name for name, module in again.named_modules() if type(module) is torch.nn.Linear]
    require("sd3 without proj_out: that linear is left, loaded with nothing said",
            left == ["proj_out"])


with tempfile.TemporaryDirectory() as folder:
    for part in (of_diffusers, of_transformers):
        part(pathlib.Path(folder))
finish()
