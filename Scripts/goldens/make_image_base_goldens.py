"""Makes the goldens of image models on bases in FP4 and in 8 bits: what make_image_goldens.py makes
on plain and NF4 bases, of the same folders and inputs.

tiny-flux-bases.safetensors, tiny-sd3-bases.safetensors. Both sides multiply by the decoded weights:
what 8 bits do to activations in inference is another matter.
usage: make_image_base_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""

import pathlib
import sys

import diffusers
import torch
from bitsandbytes import functional
from diffusers.quantizers.bitsandbytes.bnb_quantizer import BnB4BitDiffusersQuantizer
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_goldens import FOLDER, decoded
from make_image_goldens import measured, packed, predict_flux, predict_sd3, quantize


def fp4(weight):
    return decoded(*functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=True, quant_type="fp4"))


def int8(weight):
    """bitsandbytes rounds weights to half precision before it quantizes them."""
    codes, scales, _ = functional.int8_vectorwise_quant(weight.half())
    return functional.int8_vectorwise_dequant(codes, scales).float()


def make(name, kind, predict):
    inputs = load_file(str(FOLDER / f"{name}.safetensors"))
    pairs = {key.removeprefix("adapter."): value for key, value in inputs.items()
             if key.startswith("adapter.")}
    target = inputs["noise"] - inputs["latents"]
    if predict is predict_flux:
        target = packed(target)
    golden = {}
    for base, held_as in [("fp4dq", fp4), ("int8", int8)]:
        model = kind.from_pretrained(FOLDER / name).eval()
        quantize(model, FOLDER / name, held_as)
        # In the order of the model's own parameters.
        order = [f"{module}.{half}" for module, linear in model.named_modules()
                 for half in ("lora_A", "lora_B") if f"{module}.{half}" in pairs]
        golden |= measured(base, model, predict, inputs, target, {key: pairs[key] for key in order})
    save_file({key: value.contiguous().clone() for key, value in golden.items()},
              str(FOLDER / f"{name}-bases.safetensors"))


def main():
    torch.set_num_threads(1)
    # It insists on a GPU, which the format does not need.
    BnB4BitDiffusersQuantizer.validate_environment = lambda self, *args, **kwargs: None
    make("tiny-flux", diffusers.FluxTransformer2DModel, predict_flux)
    make("tiny-sd3", diffusers.SD3Transformer2DModel, predict_sd3)


if __name__ == "__main__":
    main()
