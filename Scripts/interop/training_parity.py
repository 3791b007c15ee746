"""Ten steps of qlora beside ten of PyTorch with PEFT: losses, gradient norms, the adapter.

Both start from one adapter that PEFT saved and take the batches of `qlora preview --json`; PyTorch
runs each row alone. AdamW with decay, clipping, warm-up and a cosine schedule; the base is plain or
in 4 bits with double quantization; rows stand alone, or packed and accumulated.
"""

import json
import math
import pathlib
import tempfile

import torch
from common import (
    check,
    encoded_text,
    finish,
    make_tiny_chat_model,
    metrics,
    preview,
    qlora,
    require,
    rows_of,
    text_rows,
    write_recipe,
    write_rows,
)
from peft import LoraConfig, get_peft_model
from reference import load_causal_model, loss_sum, relative
from safetensors.torch import load_file

STEPS, RATE, WARMUP, DECAY, CLIP = 10, 1e-2, 3, 0.01, 1.0


def rate(step):
    """Of a step counted from 0."""
    if step < WARMUP:
        return RATE * step / WARMUP
    return RATE * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def first_adapter(base, kind, folder):
    """A model with an adapter whose both halves count, saved by PEFT to `folder`."""
    torch.manual_seed(5)
    config = LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(load_causal_model(base, nf4=kind == "nf4", fp4=kind == "fp4"), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    model.save_pretrained(str(folder))
    return model.train()


def torch_steps(model, lines):
    """Losses, norms and the number of labels of each step on the previewed batches."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY)
    losses, norms, counts = [], [], []
    for step in range(STEPS):
        rows = [row for line in lines if line["step"] == step + 1 for row in rows_of(line)]
        found = [loss_sum(model, *row) for row in rows]
        count = sum(labelled for _, labelled in found)
        loss = sum(total for total, _ in found) / count
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained, CLIP).item())
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
        losses.append(loss.item())
        counts.append(count)
    return losses, norms, counts


def compare(work, name, kind, data, training, sequences):
    initial, run = work / f"initial-{name}", work / f"run-{name}"
    model = first_adapter(work / "base", kind, initial)
    recipe = write_recipe(
        work / f"{name}.json",
        work / "base",
        work / "train.jsonl",
        model={"quantization": {"type": kind}},
        adapter={"initializeFrom": str(initial)},
        data=data,
        training={
            **training,
            "steps": STEPS,
            "optimizer": {"type": "adamw", "learningRate": RATE, "weightDecay": DECAY},
            "schedule": {"type": "cosine", "warmupSteps": WARMUP},
            "maxGradientNorm": CLIP,
            "seed": 11,
        },
    )
    lines = preview(recipe, sequences)
    require(f"training {name}: ten steps of batches", lines[-1]["step"] == STEPS)
    losses, norms, counts = torch_steps(model, lines)
    qlora("train", recipe, "--output", run)
    steps = metrics(run)
    require(f"training {name}: steps 1 to ten", [s["step"] for s in steps] == [*range(1, 11)])
    require(f"training {name}: labelled tokens", [s["labelledTokens"] for s in steps] == counts)
    for key, expected in (("loss", losses), ("gradientNorm", norms)):
        worst = max(abs(s[key] - e) / abs(e) for s, e in zip(steps, expected))
        check(f"training {name}: worst relative {key}", worst, 1e-5)
    worst = max(abs(s["learningRate"] - rate(i)) for i, s in enumerate(steps))
    check(f"training {name}: worst learning rate", worst, 1e-12)
    final = work / f"final-{name}"
    model.save_pretrained(str(final))
    theirs = load_file(final / "adapter_model.safetensors")
    ours = load_file(run / "adapter" / "adapter_model.safetensors")
    require(f"training {name}: names of the adapter", set(ours) == set(theirs))
    worst = max(relative(ours[key], theirs[key]) for key in set(ours) & set(theirs))
    check(f"training {name}: worst adapter tensor after ten steps", worst, 1e-4)


def check_order(work, rows, tokenizer):
    """Unshuffled single rows come in the file's order, each as the tokenizer has it."""
    recipe = write_recipe(
        work / "order.json", work / "base", work / "train.jsonl",
        training={"epochs": 1, "batchSize": 3, "gradientAccumulation": 2},
    )
    lines = preview(recipe, len(rows))
    places = [(i // 6 + 1, i % 6 // 3, i % 3) for i in range(len(rows))]
    require("preview: step, micro-batch and sequence count on",
            [(s["step"], s["microBatch"], s["sequence"]) for s in lines] == places)
    require("preview: tokens and labels of rows in order",
            [rows_of(line) for line in lines] == [[encoded_text(tokenizer, r)] for r in rows])
    packed = preview(recipe, 4, "--set", "data.packing=true", "--set", "data.shuffle=true")
    again = preview(recipe, 4, "--set", "data.packing=true", "--set", "data.shuffle=true")
    require("preview: packed sequences hold several rows, and no more than maxTokens",
            all(len(s["starts"]) > 1 and len(s["tokens"]) <= 128 for s in packed))
    require("preview: the same again", packed == again)
    known = {json.dumps(encoded_text(tokenizer, r)) for r in rows}
    require("preview: packed rows are the file's",
            all(json.dumps(row) in known for line in packed for row in rows_of(line)))


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    tokenizer = make_tiny_chat_model(work / "base")
    rows = text_rows(30, seed=4)
    write_rows(work / "train.jsonl", rows)
    check_order(work, rows, tokenizer)
    single = ({"shuffle": True}, {"batchSize": 3}, 3 * STEPS)
    # Ten steps of four sequences take several epochs of packed rows.
    packed = (
        {"shuffle": True, "packing": True, "maxTokens": 160},
        {"batchSize": 2, "gradientAccumulation": 2},
        4 * STEPS,
    )
    compare(work, "plain", "none", *single)
    compare(work, "plain packed", "none", *packed)
    compare(work, "nf4dq", "nf4", *single)
    compare(work, "nf4dq packed", "nf4", *packed)
    compare(work, "fp4dq", "fp4", *single)
finish()
