"""Makes the goldens of image models: tiny random transformers of FLUX.1 and Stable Diffusion 3.

tiny-flux/, tiny-sd3/ (folders of diffusers) and tiny-flux.safetensors, tiny-sd3.safetensors: inputs
of one step of flow matching, and on a plain and an NF4 base the prediction and, with LoRA on every
linear of the blocks, the loss and every gradient; by torch, diffusers, PEFT and bitsandbytes on one
thread. No parameter has a special value, so that none of them could be left out unnoticed.
usage: make_image_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""

import pathlib
import sys

import diffusers
import torch
from bitsandbytes import functional
from diffusers.quantizers.bitsandbytes.bnb_quantizer import BnB4BitDiffusersQuantizer
from peft import LoraConfig
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_goldens import FOLDER, decoded

HEIGHT, WIDTH, CHANNELS, SAMPLES, TEXT = 4, 6, 4, 2, 5
JOINT, POOLED = 24, 20
SIGMAS = torch.tensor([0.3, 0.85])
GUIDANCE = torch.tensor([3.5, 3.5])
WEIGHTS = torch.tensor([1.0, 0.4])
RANK, ALPHA = 4, 6


def flux():
    return diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=4 * CHANNELS, num_layers=2, num_single_layers=2,
        attention_head_dim=8, num_attention_heads=2, joint_attention_dim=JOINT,
        pooled_projection_dim=POOLED, guidance_embeds=True, axes_dims_rope=(2, 2, 4))


def sd3():
    return diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=CHANNELS, num_layers=3, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=JOINT, caption_projection_dim=16,
        pooled_projection_dim=POOLED, out_channels=CHANNELS, pos_embed_max_size=5,
        dual_attention_layers=(1,), qk_norm="rms_norm")


def randomize(model):
    for name, parameter in model.named_parameters():
        offset = 1.0 if "norm_" in name and "linear" not in name else 0.0
        scale = 0.5 / max(1, parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.2
        parameter.data = offset + scale * torch.randn_like(parameter)


def packed(latents):
    """[samples, C, H, W] to the tokens of FLUX, as its pipeline packs them."""
    samples, channels, height, width = latents.shape
    latents = latents.view(samples, channels, height // 2, 2, width // 2, 2)
    return latents.permute(0, 2, 4, 1, 3, 5).reshape(samples, -1, channels * 4)


def ids():
    grid = torch.zeros(HEIGHT // 2, WIDTH // 2, 3)
    grid[..., 1] += torch.arange(HEIGHT // 2)[:, None]
    grid[..., 2] += torch.arange(WIDTH // 2)[None, :]
    return grid.reshape(-1, 3)


def predict_flux(model, noisy, prompt, pooled):
    return model(
        hidden_states=packed(noisy), encoder_hidden_states=prompt, pooled_projections=pooled,
        timestep=SIGMAS, guidance=GUIDANCE, img_ids=ids(), txt_ids=torch.zeros(TEXT, 3),
        return_dict=False)[0]


def predict_sd3(model, noisy, prompt, pooled):
    return model(
        hidden_states=noisy, encoder_hidden_states=prompt, pooled_projections=pooled,
        timestep=1000 * SIGMAS, return_dict=False)[0]


def nf4(weight):
    return decoded(*functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=True, quant_type="nf4"))


def quantize(model, folder, held_as=nf4):
    """Puts what a format holds into the linears that diffusers quantizes by default."""
    config = diffusers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    held = type(model).from_pretrained(
        folder, quantization_config=config, torch_dtype=torch.float32, device_map="cpu")
    names = [name for name, module in held.named_modules()
             if type(module).__name__ == "Linear4bit"]
    for name in names:
        weight = model.get_submodule(name).weight
        weight.data = held_as(weight.data)
    return names


def measured(base, model, predict, inputs, target, pairs):
    """The prediction of a base, and the loss and all gradients of the adapter on it."""
    latents, noise = inputs["latents"], inputs["noise"]
    noisy = (1 - SIGMAS[:, None, None, None]) * latents + SIGMAS[:, None, None, None] * noise
    prompt, pooled = inputs["prompt"], inputs["pooled"]
    golden = {}
    with torch.no_grad():
        golden[f"{base}.prediction"] = predict(model, noisy, prompt, pooled)
    model.requires_grad_(False)
    linears = [key.removesuffix(".lora_A") for key in pairs if key.endswith(".lora_A")]
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=linears))
    parameters = {key.replace(".default.weight", ""): value
                  for key, value in model.named_parameters() if "lora_" in key}
    assert parameters.keys() == pairs.keys()
    for key, value in parameters.items():
        value.data = pairs[key].clone()
        value.requires_grad_(True)
    errors = (predict(model, noisy, prompt, pooled) - target) ** 2
    loss = (WEIGHTS * errors.reshape(SAMPLES, -1).mean(1)).sum()
    loss.backward()
    golden[f"{base}.loss"] = loss.detach()[None]
    for key, value in parameters.items():
        # The queries of the text in the last block of SD3 lead nowhere.
        gradient = torch.zeros_like(value) if value.grad is None else value.grad
        golden[f"{base}.gradient.{key}"] = gradient
    return golden


def make(name, build, predict):
    torch.manual_seed(7)
    model = build().eval()
    randomize(model)
    folder = FOLDER / name
    model.save_pretrained(folder)
    shape = (SAMPLES, CHANNELS, HEIGHT, WIDTH)
    latents, noise = torch.randn(shape), torch.randn(shape)
    prompt, pooled = torch.randn(SAMPLES, TEXT, JOINT), torch.randn(SAMPLES, POOLED)
    target = noise - latents
    if build is flux:
        target = packed(target)
    golden = {"latents": latents, "noise": noise, "prompt": prompt, "pooled": pooled,
              "sigmas": SIGMAS, "guidance": GUIDANCE, "weights": WEIGHTS}
    linears = [module for module, kind in model.named_modules()
               if isinstance(kind, torch.nn.Linear) and "transformer_blocks." in module]
    pairs = {}
    for module in linears:
        weight = model.get_submodule(module).weight
        pairs[f"{module}.lora_A"] = torch.randn(RANK, weight.shape[1]) / weight.shape[1] ** 0.5
        pairs[f"{module}.lora_B"] = torch.randn(weight.shape[0], RANK) * 0.3
    golden |= {f"adapter.{key}": value for key, value in pairs.items()}
    for base in ("float32", "nf4dq"):
        model = type(model).from_pretrained(folder).eval()
        if base == "nf4dq":
            quantized = quantize(model, folder)
        golden |= measured(base, model, predict, golden, target, pairs)
    print(name, f"{len(quantized)} linears in 4 bits, {len(pairs) // 2} with an adapter")
    save_file({key: value.contiguous().clone() for key, value in golden.items()},
              str(FOLDER / f"{name}.safetensors"))


def main():
    torch.set_num_threads(1)
    # It insists on a GPU, which the format does not need.
    BnB4BitDiffusersQuantizer.validate_environment = lambda self, *args, **kwargs: None
    FOLDER.mkdir(parents=True, exist_ok=True)
    make("tiny-flux", flux, predict_flux)
    make("tiny-sd3", sd3, predict_sd3)


if __name__ == "__main__":
    main()
