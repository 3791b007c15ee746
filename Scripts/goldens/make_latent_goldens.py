"""Makes the goldens of `qlora latents`: pictures of every kind of PNG with the pixels that Pillow
reads from them, tiny tokenizers, and what the tiny pipelines make of pictures and captions.

latents/pictures/*.png, latents/tokenizer-*/, latents/goldens.safetensors.
usage: make_latent_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""

import json
import pathlib
import shutil
import sys

import diffusers
import numpy
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_goldens import FOLDER

CLIP_LENGTH, T5_LENGTH = 9, 7
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = ["a b", "ab a</w>", "c a", "ca b</w>", "' s</w>", "d d"]
CAPTIONS = {"first": "  A cab's\tABA ddd!\n", "second": "aba " * 12}
TEXTS = ["", "aba", "ABA cab", "cab's", "abba ddda", "a, b!", "  a\n\nb ", "<|endoftext|> aba",
         "zzz", "a!b! !", "abacab dd dd", "B1 2", "\u00e4 a"]


def pictures(folder):
    random = numpy.random.default_rng(5)
    color = random.integers(0, 256, (17, 25, 3), dtype=numpy.uint8)
    grey = random.integers(0, 256, (5, 9), dtype=numpy.uint8)
    kinds = {
        "color": Image.fromarray(color), "grey": Image.fromarray(grey),
        "bits": Image.fromarray(grey > 127), "palette": Image.fromarray(color).quantize(200),
        "few": Image.fromarray(color).quantize(4),
        "alpha": Image.fromarray(numpy.concatenate([color, color[..., :1]], -1)),
        "grey-alpha": Image.fromarray(numpy.stack([grey, grey], -1), "LA"),
        # Smooth, so that every filter is chosen for some row.
        "smooth": Image.fromarray(numpy.stack([
            numpy.add.outer(numpy.arange(40), numpy.arange(30) * 2) % 256,
            numpy.multiply.outer(numpy.arange(40), numpy.arange(30)) % 256,
            numpy.add.outer(numpy.arange(40) ** 2, numpy.arange(30)) % 256],
            -1).astype(numpy.uint8)),
    }
    tensors = {}
    for name, picture in kinds.items():
        picture.save(folder / f"{name}.png", optimize=True)
        pixels = numpy.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        tensors[f"pixels.{name}"] = torch.from_numpy(pixels.copy())
    return tensors


def clip(folder, pad):
    letters = [chr(code) for code in range(ord("a"), ord("e"))] + ["'", "s", "!", ","]
    tokens = ["!", *[x for x in letters if x != "!"], *[x + "</w>" for x in letters]]
    tokens += [merge.replace(" ", "") for merge in MERGES]
    tokens = [x for n, x in enumerate(tokens) if x not in tokens[:n]]
    tokens += [f"<unused{n}>" for n in range(38 - len(tokens))] + [START, END]
    folder.mkdir()
    (folder / "vocab.json").write_text(
        json.dumps({token: index for index, token in enumerate(tokens)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(
        {"bos_token": {"content": START, "lstrip": False, "normalized": True, "rstrip": False,
                       "single_word": False},
         "eos_token": END, "unk_token": END, "pad_token": pad}))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"model_max_length": CLIP_LENGTH, "tokenizer_class": "CLIPTokenizer", "bos_token": START,
         "eos_token": END, "unk_token": END, "pad_token": pad}))
    return CLIPTokenizer.from_pretrained(folder)


def t5(folder):
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", "a", "b", "c", "d", "\u2581a", "ab", "\u2581cab"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(n)) for n, piece in enumerate(pieces)], 2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return fast


def encoded(name, kinds, folder):
    tokenizers = {key: kind for key, kind in kinds.items()}
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        FOLDER / f"tiny-{name}-pipeline", torch_dtype=torch.float32, **tokenizers)
    tensors = {}
    for key, caption in CAPTIONS.items():
        more = {"prompt_3": caption.strip()} if name == "sd3" else {}
        with torch.no_grad():
            found = pipeline.encode_prompt(
                prompt=caption.strip(), prompt_2=caption.strip(), max_sequence_length=T5_LENGTH,
                **more)
            picture = Image.open(folder / f"{key}.png").convert("RGB")
            pixels = torch.from_numpy(numpy.asarray(picture).copy()).permute(2, 0, 1)[None]
            config = pipeline.vae.config
            latents = pipeline.vae.encode(pixels / 127.5 - 1).latent_dist.mode()
        rows, pooled = (found[0], found[2]) if name == "sd3" else found[:2]
        tensors |= {
            f"{name}.{key}.latents":
                ((latents[0] - config.shift_factor) * config.scaling_factor).contiguous(),
            f"{name}.{key}.prompt_embeds": rows[0].contiguous(),
            f"{name}.{key}.pooled_prompt_embeds": pooled[0].contiguous()}
    return tensors


folder = FOLDER / "latents"
shutil.rmtree(folder, ignore_errors=True)
for part in ["pictures", "captioned"]:
    (folder / part).mkdir(parents=True)
tensors = pictures(folder / "pictures")
random = numpy.random.default_rng(6)
for key, (height, width) in {"first": (16, 24), "second": (8, 12)}.items():
    Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=numpy.uint8)).save(
        folder / "captioned" / f"{key}.png")
    (folder / "captioned" / f"{key}.txt").write_text(CAPTIONS[key], encoding="utf-8")
first, second = clip(folder / "tokenizer", END), clip(folder / "tokenizer_2", "!")
third = t5(folder / "tokenizer_3")
tensors |= encoded("flux", {"tokenizer": first, "tokenizer_2": third}, folder / "captioned")
tensors |= encoded("sd3", {"tokenizer": first, "tokenizer_2": second, "tokenizer_3": third},
                   folder / "captioned")
save_file(tensors, str(folder / "goldens.safetensors"))
(folder / "ids.json").write_text(json.dumps(
    [{"text": text, "tokenizer": first(text)["input_ids"], "tokenizer_2": second(text)["input_ids"]}
     for text in TEXTS], indent=1), encoding="utf-8")
