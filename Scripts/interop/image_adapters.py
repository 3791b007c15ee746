"""Adapters of image models that qlora trained, in the real diffusers: every tensor is taken by
`load_lora_weights`, with its scale, and a picture made with the adapter is that of `qlora image`.

Skipped where diffusers is not installed.
"""

import importlib.util
import json
import pathlib
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

from common import GOLDENS, finish, qlora, require

if importlib.util.find_spec("diffusers") is None:
    print("diffusers: skipped, it is not installed")
    sys.exit(0)
import diffusers

SIZE = {"height": 16, "width": 24, "num_inference_steps": 4}


def train(work, pipeline, pooled):
    """An adapter after a few steps on random latents."""
    latents = work / "latents"
    latents.mkdir()
    for index in range(4):
        save_file({"latents": torch.randn(4, 8, 12), "prompt_embeds": torch.randn(7, 40),
                   "pooled_prompt_embeds": torch.randn(pooled)},
                  str(latents / f"{index}.safetensors"))
    (work / "recipe.json").write_text(json.dumps({
        "task": "image", "model": {"path": str(pipeline), "quantization": {"type": "none"},
                                   "computeDType": "float32"},
        "adapter": {"rank": 4, "alpha": 12},
        "data": {"train": [{"path": str(latents), "format": "latents"}]},
        "training": {"steps": 10, "batchSize": 2, "optimizer": {"learningRate": 0.02}},
        "output": str(work / "run")}))
    qlora("train", work / "recipe.json")
    return work / "run" / "adapter"


def picture(path):
    """The pixels of a PNG file."""
    from PIL import Image
    import numpy
    return torch.from_numpy(numpy.asarray(Image.open(path).convert("RGB")).astype("float32")) / 255


def load(name):
    folder = GOLDENS / f"tiny-{name}-pipeline"
    absent = {key: None for key, value in json.loads(
        (folder / "model_index.json").read_text()).items()
        if key.startswith("tokenizer") or value == [None, None]}
    return folder, diffusers.DiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, **absent)


def check(name, pooled, more):
    folder, pipeline = load(name)
    pipeline.set_progress_bar_config(disable=True)
    golden = load_file(str(GOLDENS / f"tiny-{name}-pipeline.safetensors"))
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        adapter = train(work, folder, pooled)
        pipeline.load_lora_weights(adapter)
        saved = load_file(str(adapter / "pytorch_lora_weights.safetensors"))
        found = {key.replace(".default_0.", "."): value
                 for key, value in pipeline.transformer.named_parameters() if "lora_" in key}
        taken = all(torch.equal(found[key.removeprefix("transformer.")], value)
                    for key, value in saved.items())
        require(f"{name}: load_lora_weights takes all {len(saved)} tensors",
                taken and len(found) == len(saved))
        scales = {module.scaling[key] for module in pipeline.transformer.modules()
                  if hasattr(module, "scaling") for key in module.scaling}
        require(f"{name}: with the scale 3", scales == {3.0})
        rows, whole = golden["prompt_embeds"], golden["pooled_prompt_embeds"]
        noise = golden["latents"]
        if name == "flux":
            noise = pipeline._pack_latents(noise, 1, 4, 8, 12)
        else:
            more = more | {"negative_prompt_embeds": golden["negative_prompt_embeds"],
                           "negative_pooled_prompt_embeds": golden["negative_pooled_prompt_embeds"]}
        expected = pipeline(
            prompt_embeds=rows, pooled_prompt_embeds=whole, latents=noise, output_type="pt",
            **SIZE, **more).images[0].permute(1, 2, 0).detach()
        qlora("image", "--model", folder, "--adapter", adapter, "--prompt-tokens",
              folder / "tokens.json", "--noise", GOLDENS / f"tiny-{name}-pipeline.safetensors",
              "--width", 24, "--height", 16, "--steps", 4, "--guidance", more["guidance_scale"],
              "--compute-dtype", "float32", "--output", work / "picture.png")
        difference = (picture(work / "picture.png") - expected).abs().max().item()
        # A step of eight bits is 1/255, and half of one is lost.
        require(f"{name}: the same picture, largest difference {difference:.5f}",
                difference <= 0.5 / 255 + 1e-3)


if __name__ == "__main__":
    check("flux", 16, {"guidance_scale": 3.5})
    check("sd3", 24, {"guidance_scale": 4.0})
    finish()
