"""What qlora writes, read by safetensors; what safetensors writes, read by qlora."""

import json
import pathlib
import tempfile

import torch
from common import (
    check,
    evaluate,
    finish,
    make_tiny_chat_model,
    qlora,
    require,
    text_rows,
    write_recipe,
    write_rows,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


def shard(source, target):
    """The same model in shards of at most 50 kB with an index."""
    AutoModelForCausalLM.from_pretrained(str(source), dtype=torch.float32).save_pretrained(
        str(target), max_shard_size="50KB"
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (target / name).write_bytes((source / name).read_bytes())
    return json.loads((target / "model.safetensors.index.json").read_text())


def loss(model, data):
    return evaluate(model, data, "text")["meanNegativeLogLikelihood"]


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    base, shards, data = work / "base", work / "shards", work / "rows.jsonl"
    make_tiny_chat_model(base)
    write_rows(data, text_rows(6, seed=7))

    index = shard(base, shards)
    require("safetensors: more than one shard", len(set(index["weight_map"].values())) > 1)
    check("safetensors: |loss sharded - loss whole|", abs(loss(shards, data) - loss(base, data)), 0)

    run = work / "run"
    recipe = write_recipe(work / "recipe.json", base, data, training={"steps": 1})
    qlora("train", recipe, "--output", run)
    adapter = run / "adapter" / "adapter_model.safetensors"
    with safe_open(str(adapter), "pt") as opened:
        require("safetensors: adapter's metadata", opened.metadata() == {"format": "pt"})
    tensors = load_file(str(adapter))
    dtypes = {tensor.dtype for tensor in tensors.values()}
    require("safetensors: adapter in float32", dtypes == {torch.float32})
    again = work / "again.safetensors"
    save_file(tensors, str(again), metadata={"format": "pt"})
    require("safetensors: same bytes as the library", again.read_bytes() == adapter.read_bytes())

    merged = work / "merged"
    qlora("merge", "--model", base, "--adapter", run / "adapter", "--output", merged,
          "--dtype", "bf16")
    files = sorted(merged.glob("*.safetensors"))
    loaded = {k: v for file in files for k, v in load_file(str(file)).items()}
    plain = load_file(str(base / "model.safetensors"))
    require("safetensors: merged has the base's names", set(loaded) == set(plain))
    require("safetensors: merged in bf16", all(t.dtype == torch.bfloat16 for t in loaded.values()))
    require("safetensors: merged has the base's shapes",
            all(loaded[k].shape == plain[k].shape for k in loaded))
finish()
