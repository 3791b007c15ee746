"""Adapters with modules that were trained as a whole, in PEFT; the merged models, in transformers.

On the tiny chat Llama with a head of its own and with one that is tied: embedding, head and norms
beside LoRA, on a plain base and on one in NF4. Losses of rows, and the files that PEFT writes.
"""

import json
import pathlib
import tempfile

import torch
from common import (
    check,
    encoded_text,
    evaluate,
    finish,
    make_tiny_chat_model,
    qlora,
    require,
    text_rows,
    write_recipe,
    write_rows,
)
from peft import PeftModel
from reference import load_causal_model, mean_losses
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

CASES = [
    ("separate head", False, "none", ["embed_tokens", "lm_head", "norm"]),
    ("separate head", False, "nf4", ["embed_tokens", "lm_head"]),
    ("tied head", True, "none", ["embed_tokens", "lm_head"]),
    ("tied head", True, "nf4", ["lm_head", "norm"]),
    ("tied head", True, "none", ["embed_tokens"]),
]


def make_base(folder, tied):
    tokenizer = make_tiny_chat_model(folder)
    if tied:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
        state = load_file(folder / "model.safetensors")
        state.pop("lm_head.weight", None)
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    return tokenizer


def round_trip(work, number, name, tied, quantization, modules):
    name = f"{name}, {quantization}, {' '.join(modules)}"
    base, run = work / f"base-{number}", work / f"run-{number}"
    tokenizer = make_base(base, tied)
    test = work / "test.jsonl"
    rows = [encoded_text(tokenizer, row) for row in map(json.loads, test.read_text().splitlines())]
    recipe = write_recipe(
        work / f"{number}.json", base, work / "train.jsonl",
        model={"quantization": {"type": quantization}}, adapter={"modulesToSave": modules},
        training={"steps": 12, "batchSize": 4, "optimizer": {"learningRate": 1e-2}, "seed": 3})
    qlora("train", recipe, "--output", run)
    ours = evaluate(base, test, "text", "--adapter", run / "adapter")
    model = PeftModel.from_pretrained(
        load_causal_model(base, nf4=quantization == "nf4"), str(run / "adapter"))
    mean, _ = mean_losses(model, rows)
    check(f"{name}: |loss - PEFT's|", abs(ours["meanNegativeLogLikelihood"] - mean), 1e-4)
    saved = work / f"saved-{number}"
    model.save_pretrained(str(saved))
    one, other = (load_file(folder / "adapter_model.safetensors")
                  for folder in (run / "adapter", saved))
    require(f"{name}: PEFT saves what it loaded",
            set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one))
    again = evaluate(base, test, "text", "--adapter", saved, "--quantization", quantization)
    check(f"{name}: saved by PEFT, |loss - PEFT's|",
          abs(again["meanNegativeLogLikelihood"] - mean), 1e-4)
    merged = work / f"merged-{number}"
    qlora("merge", "--adapter", run / "adapter", "--model", base, "--output", merged,
          "--dtype", "fp32", "--base", "decoded")
    alone = AutoModelForCausalLM.from_pretrained(
        str(merged), dtype=torch.float32, attn_implementation="eager").eval()
    check(f"{name}: merged, |loss - PEFT's|", abs(mean_losses(alone, rows)[0] - mean), 1e-4)
    require(f"{name}: merged is tied", alone.config.tie_word_embeddings == (
        tied and not {"embed_tokens", "lm_head"} & set(modules)))


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    write_rows(work / "train.jsonl", text_rows(24, seed=1))
    write_rows(work / "test.jsonl", text_rows(8, seed=2))
    for number, case in enumerate(CASES):
        round_trip(work, number, *case)
finish()
