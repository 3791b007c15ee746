"""What quantizing the base costs an adapter: the shipped recipe on a 16-bit and on an NF4 base.

Trains both with several seeds, counts exact answers on the held-out rows, and prints a table in
Markdown. Runs stay in the folder, so that a second start goes on where the first one stopped.
usage: adapters.py FOLDER [SEEDS] [THREADS]
"""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "Models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
RECIPE = ROOT / "Recipes" / "smollm2-135m-qlora-tool-calls.json"
ROWS = ROOT / "Datasets" / "tool-calls" / "test.jsonl"
QLORA = os.environ.get("QLORA_BINARY", str(ROOT / ".build" / "release" / "qlora"))
BASES = {"16-bit": "none", "NF4 + double": "nf4"}


def qlora(*arguments):
    done = subprocess.run([QLORA, *map(str, arguments)], check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


def result(folder, seed, kind, threads):
    run = folder / f"{kind}-{seed}"
    report = folder / f"{kind}-{seed}.json"
    if not report.exists():
        if not (run / "adapter").exists():
            qlora("train", RECIPE, "--output", run, "--set", f"training.seed={seed}",
                  "--set", f"model.quantization.type={kind}", "--set", f"threads={threads}")
        report.write_text(qlora(
            "eval", "--model", MODEL, "--adapter", run / "adapter", "--data", ROWS,
            "--metric", "loss,exact_match", "--threads", threads, "--json"))
    return json.loads(report.read_text())


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(1, 1 + (int(sys.argv[2]) if len(sys.argv) > 2 else 3))
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    print("| base |", " | ".join(f"seed {s}" for s in seeds), "| mean | loss |")
    print("|---" * (3 + len(seeds)) + "|")
    for name, kind in BASES.items():
        found = [result(folder, seed, kind, threads) for seed in seeds]
        matches = [100 * x["exactMatch"] for x in found]
        losses = [x["meanNegativeLogLikelihood"] for x in found]
        cells = " | ".join(f"{m:.1f} %" for m in matches)
        mean, loss = sum(matches) / len(matches), sum(losses) / len(losses)
        print(f"| {name} | {cells} | {mean:.1f} % | {loss:.4f} |", flush=True)


main()
