"""A tiny pipeline of each kind the whole way: `qlora quantize`, `qlora latents`, training on what
they made, and pictures by prompt with and without the adapter, each beside diffusers on the same
weights.

Skipped where diffusers is not installed.
"""

import importlib.util
import json
import pathlib
import shutil
import sys
import tempfile

import torch
from safetensors.torch import load_file

from common import GOLDENS, finish, qlora, require

if importlib.util.find_spec("diffusers") is None:
    print("diffusers: skipped, it is not installed")
    sys.exit(0)
import diffusers
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

from image_adapters import picture

PROMPT, T5_LENGTH = "A cab's aba", 7
SIZE = {"height": 16, "width": 24, "num_inference_steps": 4}
TOKENIZERS = {
    "flux": {"tokenizer": "tokenizer", "tokenizer_2": "tokenizer_3"},
    "sd3": {key: key for key in ("tokenizer", "tokenizer_2", "tokenizer_3")},
}


def build(work, name, kind):
    """Two folders with the same weights: quantized for us, decoded for diffusers."""
    folders = work / "held", work / "plain"
    for folder in folders:
        shutil.copytree(GOLDENS / f"tiny-{name}-pipeline", folder)
        for key, source in TOKENIZERS[name].items():
            shutil.copytree(GOLDENS / "latents" / source, folder / key)
        shutil.rmtree(folder / "transformer")
    qlora("quantize", GOLDENS / f"tiny-{name}-pipeline" / "transformer", "--type", kind,
          "--output", folders[0] / "transformer")
    qlora("dequantize", folders[0] / "transformer", "--dtype", "fp32",
          "--output", folders[1] / "transformer")
    return folders


def reference(folder, name):
    loaded = {}
    for key, source in TOKENIZERS[name].items():
        kind = PreTrainedTokenizerFast if source == "tokenizer_3" else CLIPTokenizer
        loaded[key] = kind.from_pretrained(folder / key)
    empty = {key: None for key, value in json.loads(
        (folder / "model_index.json").read_text()).items()
        if value == [None, None] and key not in loaded}
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, **loaded, **empty)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def difference(pipeline, name, held, work, guidance, adapter=None):
    """Between both sides' pictures of a prompt."""
    noise = load_file(str(GOLDENS / f"tiny-{name}-pipeline.safetensors"))["latents"]
    if name == "flux":
        noise = pipeline._pack_latents(noise, 1, 4, 8, 12)
    expected = pipeline(
        prompt=PROMPT, latents=noise, guidance_scale=guidance, output_type="pt",
        max_sequence_length=T5_LENGTH, **SIZE).images[0].permute(1, 2, 0).detach()
    output = work / f"{'plain' if adapter is None else 'adapted'}.png"
    qlora("image", "--model", held, "--prompt", PROMPT, "--max-tokens", T5_LENGTH,
          "--noise", GOLDENS / f"tiny-{name}-pipeline.safetensors", "--width", SIZE["width"],
          "--height", SIZE["height"], "--steps", SIZE["num_inference_steps"],
          "--guidance", guidance, "--compute-dtype", "float32", "--output", output,
          # What is not quantized in the folder, T5 among it, stays so beside an adapter, too.
          "--quantization", "none", *([] if adapter is None else ["--adapter", adapter]))
    return (picture(output) - expected).abs().max().item(), expected


def check(name, kind, guidance):
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        held, plain = build(work, name, kind)
        pipeline = reference(plain, name)
        # A step of eight bits is 1/255, and half of one is lost.
        limit = 0.5 / 255 + 1e-3
        without, before = difference(pipeline, name, held, work, guidance)
        require(f"{name} {kind}: the picture without adapter differs by {without:.5f}",
                without <= limit)
        qlora("latents", "--model", held, "--pictures", GOLDENS / "latents" / "captioned",
              "--output", work / "latents", "--max-tokens", T5_LENGTH,
              "--compute-dtype", "float32")
        golden = load_file(str(GOLDENS / "latents" / "goldens.safetensors"))
        worst = max((value - golden[f"{name}.{key}.{tensor}"]).abs().max().item()
                    for key in ("first", "second") for tensor, value in load_file(
                        str(work / "latents" / f"{key}.safetensors")).items())
        require(f"{name} {kind}: latents and embeddings differ by {worst:.1e}", worst <= 1e-3)
        (work / "recipe.json").write_text(json.dumps({
            "task": "image", "model": {"path": str(held), "computeDType": "float32"},
            "adapter": {"rank": 4, "alpha": 12},
            "data": {"train": [{"path": str(work / "latents"), "format": "latents"}]},
            "training": {"steps": 10, "batchSize": 2, "optimizer": {"learningRate": 0.02}},
            "output": str(work / "run")}))
        qlora("train", work / "recipe.json")
        pipeline.load_lora_weights(work / "run" / "adapter")
        adapted, after = difference(
            pipeline, name, held, work, guidance, work / "run" / "adapter")
        changed = (after - before).abs().max().item()
        require(f"{name} {kind}: with it by {adapted:.5f}, and the adapter changes {changed:.3f}",
                adapted <= limit and changed > 10 * limit)


for kind in ("nf4", "fp4"):
    check("flux", kind, 3.5)
    check("sd3", kind, 4.0)
finish()
