"""Ten steps of qlora beside ten of PyTorch with PEFT: losses, gradient norms, the adapter.

Both start from the same PEFT adapter, read the same rows in the same order, and use AdamW with
clipping and a constant rate; the base is plain or NF4 with double quantization.
"""

import json
import pathlib
import tempfile

import torch
from common import (
    check,
    finish,
    load_causal_model,
    make_tiny_chat_model,
    qlora,
    relative,
    text_batch,
    text_rows,
    write_recipe,
    write_rows,
)
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

STEPS, BATCH, RATE, DECAY, CLIP = 10, 3, 1e-2, 0.01, 1.0


def torch_steps(base, nf4, rows, tokenizer, initial):
    """Writes the first adapter to `initial`, trains, returns losses, norms and the last adapter."""
    torch.manual_seed(5)
    model = get_peft_model(
        load_causal_model(base, nf4=nf4),
        LoraConfig(
            r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    model.save_pretrained(str(initial))
    optimizer = torch.optim.AdamW(
        trained, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY
    )
    losses, norms = [], []
    for step in range(STEPS):
        ids, labels, mask = text_batch(tokenizer, rows[step * BATCH : (step + 1) * BATCH])
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained, CLIP).item())
        optimizer.step()
        losses.append(loss.item())
    final = initial.parent / (initial.name + "-after")
    model.save_pretrained(str(final))
    return losses, norms, load_file(final / "adapter_model.safetensors")


def compare(work, name, nf4, tokenizer, rows):
    initial, run = work / f"initial-{name}", work / f"run-{name}"
    losses, norms, adapter = torch_steps(work / "base", nf4, rows, tokenizer, initial)
    recipe = write_recipe(
        work / f"{name}.json",
        work / "base",
        work / "train.jsonl",
        model={"quantization": {"type": "nf4" if nf4 else "none"}},
        adapter={"initializeFrom": str(initial)},
        training={
            "steps": STEPS,
            "batchSize": BATCH,
            "optimizer": {"type": "adamw", "learningRate": RATE, "weightDecay": DECAY},
            "schedule": {"type": "constant", "warmupSteps": 0},
            "maxGradientNorm": CLIP,
        },
    )
    qlora("train", recipe, "--output", run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    check(f"training {name}: difference of steps", abs(len(steps) - STEPS), 0)
    for key, expected in (("loss", losses), ("gradientNorm", norms)):
        worst = max(abs(s[key] - e) / abs(e) for s, e in zip(steps, expected))
        check(f"training {name}: worst relative {key}", worst, 1e-5)
    ours = load_file(run / "adapter" / "adapter_model.safetensors")
    check(f"training {name}: differing names", len(set(ours) ^ set(adapter)), 0)
    worst = max(relative(ours[key], adapter[key]) for key in set(ours) & set(adapter))
    check(f"training {name}: worst adapter tensor after ten steps", worst, 1e-4)


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    tokenizer = make_tiny_chat_model(work / "base")
    rows = text_rows(STEPS * BATCH, seed=4)
    write_rows(work / "train.jsonl", rows)
    compare(work, "plain", False, tokenizer, rows)
    compare(work, "nf4dq", True, tokenizer, rows)
finish()
