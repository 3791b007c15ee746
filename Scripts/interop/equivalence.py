"""Batches cut in other ways give the same step: accumulated, packed, single; on one thread or two.

The tiny Llama and SmolLM2, in float32 through the command line. The rows are few enough for one
optimizer step to hold all of them, so only the order of sums may differ.
"""

import pathlib
import tempfile

from common import (
    MODEL,
    ROOT,
    check,
    finish,
    make_tiny_chat_model,
    metrics,
    qlora,
    require,
    text_rows,
    write_recipe,
    write_rows,
)
from reference import relative
from safetensors.torch import load_file

ROWS, STEPS = 8, 3
# Name, then what differs from eight single rows at once.
CUTS = [
    ("eight times one", ["training.batchSize=1", "training.gradientAccumulation=8"]),
    ("two times four", ["training.batchSize=4", "training.gradientAccumulation=2"]),
    ("packed", ["data.packing=true", "training.batchSize=1", "data.maxTokens=1024"]),
    ("recomputed", ['training.activationMemory="full"']),
]


def train(recipe, run, settings=()):
    qlora("train", recipe, "--output", run, *(x for s in settings for x in ("--set", s)))
    return metrics(run), load_file(run / "adapter" / "adapter_model.safetensors")


def compare(work, model, base, data, form):
    recipe = write_recipe(
        work / f"{model}.json", base, data, form,
        data={"maxTokens": 256},
        training={"steps": STEPS, "batchSize": ROWS, "optimizer": {"learningRate": 1e-3}},
    )
    steps, adapter = train(recipe, work / f"{model}-whole")
    for number, (name, settings) in enumerate(CUTS):
        name = f"equivalence {model}, {name}"
        found, tensors = train(recipe, work / f"{model}-{number}", settings)
        counts = [[s[key] for s in side for key in ("tokens", "labelledTokens")]
                  for side in (found, steps)]
        require(f"{name}: as many tokens", counts[0] == counts[1] and len(found) == STEPS)
        for key in ("loss", "gradientNorm"):
            worst = max(abs(a[key] - b[key]) / abs(b[key]) for a, b in zip(found, steps))
            check(f"{name}: worst relative {key}", worst, 1e-5)
        worst = max(relative(tensors[k], adapter[k]) for k in adapter)
        check(f"{name}: worst adapter tensor", worst, 1e-3)
    found, tensors = train(recipe, work / f"{model}-thread", ["threads=1"])
    same = all(a[k] == b[k] for a, b in zip(found, steps) for k in ("loss", "gradientNorm"))
    same &= all((tensors[k] == adapter[k]).all() for k in adapter)
    require(f"equivalence {model}, one thread: the same bits", same)


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    make_tiny_chat_model(work / "base")
    write_rows(work / "rows.jsonl", text_rows(ROWS, seed=9))
    compare(work, "tiny", work / "base", work / "rows.jsonl", "text")
    source = ROOT / "Datasets" / "tool-calls" / "train.jsonl"
    lines = source.read_text(encoding="utf-8").splitlines()[:ROWS]
    (work / "chats.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    compare(work, "SmolLM2", MODEL, work / "chats.jsonl", "messages")
finish()
