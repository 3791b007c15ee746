"""A training step of qlora beside PyTorch's: one table from one sitting, in turns (A B A B).

SmolLM2-135M-Instruct, NF4 with double quantization, rank 16 on all linears. Started by
Scripts/bench/run.sh, which builds and fetches what is needed. Prints Markdown; --record also writes
the JSON record and the tables of README.md and Docs/Benchmarks/step.md. Leaves with status 1 where
a turn failed or a loss or gradient norm is not within 1 % of the float32 oracle; the peer's bf16,
which rounds more, is only remarked on.
"""

import argparse
import itertools
import json
import os
import pathlib
import sys

from inputs import MODEL, prepare
from report import markdown, publish, summarize
from sitting import BENCH, ROOT, Sitting, say

HERE = pathlib.Path(__file__).resolve().parent
FLOAT32 = ROOT / "Models" / "SmolLM2-135M-Instruct-float32"
# The same limit on both sides; PyTorch's products are oneDNN's and MKL's, ours partly OpenBLAS's.
PEER_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
QUIET = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
OUR_ISA = {
    "avx2": {"QLORA_ISA": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
    "avx512": {"QLORA_ISA": "avx512"},
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, few rows, for trying out")
    parser.add_argument("--fresh", action="store_true", help="forgets an unfinished sitting")
    parser.add_argument("--record", action="store_true", help="writes the record and the documents")
    parser.add_argument("--rounds", type=int, help="turns of each row")
    parser.add_argument("--steps", type=int, help="timed steps of a turn")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 2)
    options.steps = options.steps or (1 if options.quick else 3)
    if options.record and options.quick:
        parser.error("--quick gives no numbers to record")
    return options


def row(side, workload, label, flags, environment=(), isa="all", rows=4):
    return {
        "side": side, "workload": workload, "label": label, "flags": flags,
        "environment": dict(environment), "isa": isa, "rows": rows,
        "key": "-".join([side, workload, *label.replace(",", "").split()]).replace("=", ""),
    }


def ours(workload, dtype, more="", isa=None):
    flags = ["--compute-dtype", dtype] + (["--checkpointing"] if more else [])
    label = ", ".join(filter(None, [SHORT[dtype], more, isa and f"QLORA_ISA={isa}"]))
    return row("qlora", workload, label, flags, OUR_ISA.get(isa, {}), isa or "all")


def peer(workload, dtype, more="", isa=None, rows=4):
    flags = ["--compute", dtype, "--rows", rows]
    flags += {"": [], "checkpointing": ["--checkpointing"], "autocast": ["--autocast"]}[more]
    batch = f"batch of {rows}" if workload == "toolCalls" else ""
    label = ", ".join(filter(None, [SHORT[dtype], more, batch, isa and "limited to AVX2"]))
    limits = PEER_AVX2 if isa == "avx2" else {}
    return row("peer", workload, label, flags, {**QUIET, **limits}, isa or "all", rows)


SHORT = {"float32": "fp32", "bfloat16": "bf16"}


def rows(quick):
    """Our rows and the peer's; the best of the peer's is what counts."""
    f, b = "float32", "bfloat16"
    if quick:
        mine = [ours("packed", b), ours("packed", f), ours("packed", f, "", "avx2"),
                ours("toolCalls", b)]
        theirs = [peer("packed", b), peer("packed", f, "", "avx2"), peer("toolCalls", b)]
        return mine, theirs
    mine = [
        ours("packed", b), ours("packed", f), ours("packed", b, "recomputing"),
        ours("packed", f, "recomputing"), ours("packed", b, "", "avx512"),
        ours("packed", f, "", "avx512"), ours("packed", b, "", "avx2"),
        ours("packed", f, "", "avx2"), ours("toolCalls", b), ours("toolCalls", f),
    ]
    theirs = [
        peer("packed", b), peer("packed", f), peer("packed", b, "checkpointing"),
        peer("packed", f, "checkpointing"), peer("packed", b, "autocast"),
        # Not in bf16: without its instructions a step of 128 tokens took more than five minutes.
        peer("packed", f, "", "avx2"), peer("toolCalls", b), peer("toolCalls", b, rows=8),
        peer("toolCalls", f),
    ]
    return mine, theirs


def command(entry, python, folder, options):
    common = [
        "--batches", folder / f"{entry['workload']}.jsonl", "--adapter", folder / "adapter",
        "--steps", options.steps, "--threads", options.threads, *entry["flags"]]
    if entry["side"] == "peer":
        return [python, HERE / "peer_step.py", *common]
    return [BENCH, "step", "--json", "--model", MODEL, *common]


def measure(sitting, mine, theirs, python, options):
    """All turns, ours and the peer's in alternation; the turns of each row by its key."""
    turns = {entry["key"]: [] for entry in mine + theirs}
    pairs = itertools.zip_longest(theirs, mine)
    order = [entry for pair in pairs for entry in pair if entry]
    for number in range(1, options.rounds + 1):
        for entry in order:
            lines = sitting.turn(
                f"{entry['key']}-{number}", command(entry, python, sitting.folder, options),
                entry["environment"])
            if lines:
                turns[entry["key"]].append(lines[-1])
    return turns


def oracles(sitting, python, workloads, options):
    """Loss and gradient norm of the float32 step on dequantized weights, by workload."""
    found = {}
    for workload in workloads:
        lines = sitting.turn(f"oracle-{workload}", [
            python, HERE / "peer_step.py", "--oracle", "--warmup", 0, "--steps", 1,
            "--threads", options.threads, "--adapter", sitting.folder / "adapter",
            "--batches", sitting.folder / f"{workload}.jsonl"], QUIET)
        if lines:
            found[workload] = {
                "loss": lines[-1]["losses"][0], "gradientNorm": lines[-1]["gradientNorms"][0]}
    return found


def kernels(sitting, python, options):
    """One line each of a single token through a 4-bit linear, and of quantizing."""
    rounds = 3 if options.quick else 15
    model = FLOAT32 if FLOAT32.exists() else MODEL
    found = {
        "products": sitting.turn("kernels", [
            BENCH, "kernels", "--tokens", 1, "--shapes", "4096x4096", "--rounds", rounds,
            "--threads", options.threads]),
        "load": sitting.turn("load", [
            BENCH, "load", "--json", "--model", model, "--threads", options.threads]),
    }
    if python:
        body = [python, HERE / "peer_kernels.py", "--rounds", rounds, "--threads", options.threads]
        found["peer"] = sitting.turn("peer-kernels", body, QUIET)
        found["peerAVX2"] = sitting.turn("peer-kernels-avx2", body, {**QUIET, **PEER_AVX2})
    return found


def main():
    options = arguments()
    python = os.environ.get("QLORA_BENCH_PYTHON") or None
    mine, theirs = rows(options.quick)
    if not python:
        theirs = []
        say("bench: no PyTorch; qlora alone is measured (see Docs/Benchmarks/README.md)")
    settings = {name: getattr(options, name) for name in ("quick", "rounds", "steps", "threads")}
    sitting = Sitting("step-quick" if options.quick else "step", settings, options.fresh)
    counts = prepare(sitting.folder, options.quick)
    oracle = oracles(sitting, python, ("packed", "toolCalls"), options) if python else {}
    turns = measure(sitting, mine, theirs, python, options)
    record = summarize(
        sitting, options, mine + theirs, turns, oracle, counts, kernels(sitting, python, options))
    print(markdown(record))
    (sitting.folder / "record.json").write_text(json.dumps(record, indent=2) + "\n")
    if options.record:
        publish(record)
    if record["problems"]:
        say("bench: " + "\nbench: ".join(record["problems"]))
        sys.exit(1)


if __name__ == "__main__":
    main()
