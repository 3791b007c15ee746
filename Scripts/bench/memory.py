"""Compares the memory that a plan predicts with what training steps then take, as a Markdown table.

Each row is a process of its own: it rehearses the step without data, loads the model, trains a step
(later ones take nothing more, as a test shows) and reads its peak from the kernel. `--large` names
the folder that `Scripts/bench/make_random_llama.py` wrote. Needs a built `qlora-bench`.
"""

import argparse
import json
import subprocess
import sys

MIB = 1 << 20

# Sequences, length, activation memory, compute dtype, rank, quantization.
SMALL = [
    (4, 512, "none", "bfloat16", 16, "nf4"),
    (4, 512, "300MiB", "bfloat16", 16, "nf4"),
    (4, 512, "160MiB", "bfloat16", 16, "nf4"),
    (4, 512, "full", "bfloat16", 16, "nf4"),
    (1, 512, "none", "bfloat16", 8, "nf4"),
    (1, 1024, "200MiB", "float32", 16, "nf4"),
    (2, 256, "none", "float32", 16, "nf4"),
    (2, 256, "full", "float32", 64, "nf4"),
    (8, 64, "none", "bfloat16", 64, "nf4"),
    (3, 100, "none", "bfloat16", 4, "none"),
]
LARGE = [
    (1, 128, "none", "bfloat16", 16, "nf4"),
    (1, 256, "full", "bfloat16", 16, "nf4"),
    (2, 64, "48MiB", "bfloat16", 32, "nf4"),
    (2, 96, "none", "float32", 8, "nf4"),
]


def measure(model, row):
    sequences, length, memory, dtype, rank, quantization = row
    arguments = [
        ".build/release/qlora-bench", "step", "--model", model, "--json", "--steps", "1",
        "--sequences", str(sequences), "--length", str(length), "--rank", str(rank),
        "--activation-memory", memory, "--compute-dtype", dtype, "--quantization", quantization,
    ]
    result = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def show(name, model, rows):
    worst = 0
    for row in rows:
        found = measure(model, row)
        predicted, peak = found["predictedPeakMemoryBytes"], found["peakMemoryBytes"]
        error = predicted / peak - 1
        worst = max(worst, abs(error))
        sequences, length, memory, dtype, rank, quantization = row
        print(
            f"| {name} | {sequences} × {length} | {memory} | {dtype} | {rank} | {quantization} "
            f"| {found['activationBytes'] / MIB:.0f} | {found['workspaceBytes'] / MIB:.0f} "
            f"| {predicted / MIB:.0f} | {peak / MIB:.0f} | {error:+.1%} |",
            flush=True,
        )
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", default="Models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--large")
    options = parser.parse_args()
    print("| model | batch | activation memory | dtype | rank | weights | activations | workspace "
          "| predicted | measured | error |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    worst = show("SmolLM2-135M", options.small, SMALL)
    if options.large:
        worst = max(worst, show("random 1.2B", options.large, LARGE))
    print(f"\nMiB. The largest error is {worst:.1%}.")
    return 0 if worst <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
