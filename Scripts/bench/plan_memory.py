"""Compares the memory that `qlora plan` predicts with what `qlora train` then takes, as a table.

Each row is a recipe of its own, planned by one process and trained for a few steps by another,
whose peak the kernel states. Unlike memory.py, which measures steps alone, this has everything
that a run does: rows, evaluation, checkpoints, layers on the disk. Needs a built `qlora`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

MIB = 1 << 20
LONG = [{"path": "Datasets/tool-calls/train.jsonl"}]
HELD = [{"path": "Datasets/tool-calls/validation.jsonl", "limit": 64}]


def row(name, quantization="nf4", dtype="bfloat16", batch=2, tokens=512, packing=True,
        memory="none", optimizer="adamw", evaluates=True, rank=16, limit=None, **training):
    """A name and the recipe's values, by section."""
    return name, {
        "model": {"quantization": {"type": quantization}, "computeDType": dtype},
        "adapter": {"rank": rank},
        "data": {
            "train": LONG, "validation": HELD if evaluates else [], "maxTokens": tokens,
            "packing": packing,
        },
        "training": {
            "steps": 3, "batchSize": batch, "activationMemory": memory, "samples": 0,
            "optimizer": {"type": optimizer}, **training,
        },
        "maxMemory": {"cpu": limit},
    }


ROWS = [
    row("large batch", batch=4),
    row("large batch, recomputed", batch=4, memory="full", optimizer="adamw8bit"),
    row("a budget", memory="200MiB", optimizer="lion", evaluates=False),
    row("long rows, paged states", batch=1, tokens=1024, optimizer="pagedadamw8bit"),
    row("float32", dtype="float32", tokens=256),
    row("int8 weights", quantization="int8", tokens=256),
    row("int8 weights, not packed", quantization="int8", packing=False, batch=4, memory="full",
        optimizer="lion8bit"),
    row("weights as they are", quantization="none", tokens=256, evaluates=False),
    row("weights as they are, float32", quantization="none", dtype="float32", packing=False,
        optimizer="sgd"),
    row("fp4, float16", quantization="fp4", dtype="float16", memory="64MiB"),
    row("int16 products", dtype="int16", tokens=256),
    row("not packed", packing=False, batch=8),
    row("not packed, accumulated", packing=False, batch=3, gradientAccumulation=3,
        evaluates=False),
    row("high rank, paged", batch=1, tokens=256, rank=64, optimizer="pagedadamw"),
    row("layers on the disk", limit="430MiB", memory="full"),
    row("with samples", batch=1, tokens=256, samples=2),
]


def run(arguments, **options):
    """Runs a command; returns what it printed and its peak in bytes."""
    environment = dict(os.environ, QLORA_CACHE="off")
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    output = process.stdout.read()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: {process.returncode}\n{errors}")
    return output, usage.ru_maxrss * 1024


def measure(qlora, model, recipe, folder):
    path = os.path.join(folder, "recipe.json")
    recipe = json.loads(json.dumps(recipe))
    recipe["model"]["path"] = os.path.abspath(model)
    recipe["output"] = os.path.join(folder, "run")
    for source in recipe["data"]["train"] + recipe["data"]["validation"]:
        source["path"] = os.path.abspath(source["path"])
    with open(path, "w") as file:
        json.dump(recipe, file)
    plan = json.loads(run([qlora, "plan", path, "--json"])[0])
    _, peak = run([qlora, "train", path, "--json"])
    return plan, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="Models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--qlora", default=".build/release/qlora")
    parser.add_argument("--only", help="rows whose name has this in it")
    options = parser.parse_args()
    print("| recipe | weights | dtype | batch | packed | activation memory | optimizer "
          "| evaluation | predicted | measured | error |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    worst = 0
    for name, recipe in ROWS:
        if options.only and options.only not in name:
            continue
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            plan, peak = measure(options.qlora, options.model, recipe, folder)
        memory = plan["memoryBytes"]
        error = memory["peak"] / peak - 1
        worst = max(worst, abs(error))
        training, data = recipe["training"], recipe["data"]
        on_disk = len(plan["layers"]["disk"])
        print(
            f"| {name}{f' ({on_disk} of 30)' if on_disk else ''} "
            f"| {recipe['model']['quantization']['type']} | {recipe['model']['computeDType']} "
            f"| {training['batchSize']} × {data['maxTokens']} "
            f"| {'yes' if data['packing'] else 'no'} "
            f"| {training['activationMemory']} | {training['optimizer']['type']} "
            f"| {'yes' if data['validation'] else 'no'} "
            f"| {memory['peak'] / MIB:.0f} | {peak / MIB:.0f} | {error:+.1%} |",
            flush=True,
        )
    print(f"\nMiB. The largest error is {worst:.1%}.")
    return 0 if worst <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
