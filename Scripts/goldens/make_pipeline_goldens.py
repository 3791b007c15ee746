"""Makes the goldens of whole image pipelines: tiny random parts of FLUX.1 and Stable Diffusion 3.

tiny-flux-pipeline/, tiny-sd3-pipeline/ (folders of diffusers, tokenizers left out) and
tiny-flux-pipeline.safetensors, tiny-sd3-pipeline.safetensors: the tokens of a prompt, what each
encoder makes of them, noise, and the picture that diffusers makes of it in four steps.
usage: make_pipeline_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""

import json
import pathlib
import shutil
import sys

import diffusers
import torch
import transformers
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_goldens import FOLDER

VOCABULARY, LENGTH, T5_LENGTH = 40, 9, 7
HEIGHT, WIDTH, STEPS = 8, 12, 4


def randomize(model):
    for name, parameter in model.named_parameters():
        offset = 1.0 if "norm" in name and name.endswith("weight") and parameter.dim() == 1 else 0.0
        scale = 0.7 / max(1, parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.2
        parameter.data = offset + scale * torch.randn_like(parameter)
    return model.eval()


def clip(hidden, act, projected, end):
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return randomize(kind(transformers.CLIPTextConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=2 * hidden,
        num_hidden_layers=2, num_attention_heads=hidden // 8, max_position_embeddings=LENGTH,
        projection_dim=12, hidden_act=act, bos_token_id=end - 1, eos_token_id=end,
        pad_token_id=end)))


def t5():
    return randomize(transformers.T5EncoderModel(transformers.T5Config(
        vocab_size=VOCABULARY, d_model=40, d_kv=8, d_ff=48, num_layers=2, num_heads=3,
        feed_forward_proj="gated-gelu", relative_attention_num_buckets=8,
        relative_attention_max_distance=6)))


def vae(post):
    return randomize(diffusers.AutoencoderKL(
        latent_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=0.6, shift_factor=0.1, use_quant_conv=post, use_post_quant_conv=post))


def flux():
    transformer = randomize(diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=40, pooled_projection_dim=16,
        guidance_embeds=True, axes_dims_rope=(2, 2, 4)))
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)
    return diffusers.FluxPipeline(
        scheduler=scheduler, vae=vae(False), text_encoder=clip(16, "quick_gelu", False, 39),
        tokenizer=None, text_encoder_2=t5(), tokenizer_2=None, transformer=transformer)


def sd3():
    transformer = randomize(diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=40, caption_projection_dim=16,
        pooled_projection_dim=24, out_channels=4, pos_embed_max_size=6))
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(True), text_encoder=clip(16, "quick_gelu", True, 2), tokenizer=None,
        text_encoder_2=clip(16, "gelu", True, 39), tokenizer_2=None, text_encoder_3=t5(),
        tokenizer_3=None)


def prompt(length, end):
    ids = torch.randint(3, VOCABULARY - 2, (1, length))
    if end is not None:
        ids[0, length - 3:] = end
    return ids


def encode(pipeline, tokens):
    """As the pipelines' encode_prompt puts the encoders' results together."""
    first = pipeline.text_encoder(tokens["tokenizer"], output_hidden_states=True)
    if isinstance(pipeline, diffusers.FluxPipeline):
        return pipeline.text_encoder_2(tokens["tokenizer_2"])[0], first.pooler_output
    second = pipeline.text_encoder_2(tokens["tokenizer_2"], output_hidden_states=True)
    third = pipeline.text_encoder_3(tokens["tokenizer_3"])[0]
    joined = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
    joined = torch.nn.functional.pad(joined, (0, third.shape[-1] - joined.shape[-1]))
    return torch.cat([joined, third], 1), torch.cat([first[0], second[0]], -1)


def make(name, build):
    torch.manual_seed(11)
    pipeline = build()
    pipeline.set_progress_bar_config(disable=True)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.save_pretrained(folder)
    is_flux = build is flux
    kinds = [("tokenizer", LENGTH, 39), ("tokenizer_2", T5_LENGTH, None)] if is_flux else [
        ("tokenizer", LENGTH, 39), ("tokenizer_2", LENGTH, 39), ("tokenizer_3", T5_LENGTH, None)]
    tokens = {key: prompt(length, end) for key, length, end in kinds}
    negative = {key: prompt(length, end) for key, length, end in kinds}
    text = {key: value[0].tolist() for key, value in tokens.items()}
    if not is_flux:
        text |= {f"negative_{key}": value[0].tolist() for key, value in negative.items()}
    (folder / "tokens.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
    noise = torch.randn(1, 4, HEIGHT, WIDTH)
    size = {"height": 2 * HEIGHT, "width": 2 * WIDTH, "num_inference_steps": STEPS}
    with torch.no_grad():
        rows, pooled = encode(pipeline, tokens)
        if is_flux:
            latents = pipeline._pack_latents(noise, 1, 4, HEIGHT, WIDTH)
            more = {"guidance_scale": 3.5}
        else:
            latents = noise
            other, other_pooled = encode(pipeline, negative)
            more = {"guidance_scale": 4.0, "negative_prompt_embeds": other,
                    "negative_pooled_prompt_embeds": other_pooled}
        # The pipelines count eight pixels to a latent; these decoders have two.
        result = pipeline(prompt_embeds=rows, pooled_prompt_embeds=pooled, latents=latents,
                          output_type="latent", return_dict=False, **size, **more)[0]
        if is_flux:
            result = pipeline._unpack_latents(
                result, 2 * HEIGHT, 2 * WIDTH, pipeline.vae_scale_factor)
        config = pipeline.vae.config
        picture = pipeline.vae.decode(
            result / config.scaling_factor + config.shift_factor, return_dict=False)[0]
        picture = (picture / 2 + 0.5).clamp(0, 1)
    golden = {"latents": noise, "prompt_embeds": rows, "pooled_prompt_embeds": pooled,
              "sampled": result, "picture": picture[0].permute(1, 2, 0)}
    if not is_flux:
        golden |= {"negative_prompt_embeds": other, "negative_pooled_prompt_embeds": other_pooled}
    save_file({key: value.contiguous().clone() for key, value in golden.items()},
              str(FOLDER / f"{name}.safetensors"))
    print(name, tuple(rows.shape), tuple(pooled.shape), tuple(picture.shape),
          f"{picture.std():.3f}")


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    make("tiny-flux-pipeline", flux)
    make("tiny-sd3-pipeline", sd3)


if __name__ == "__main__":
    main()
