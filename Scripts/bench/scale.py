"""Cost per token against tokens per step, sequence length and the model's shape, for qlora alone.

Started by Scripts/bench/run.sh. Random weights, NF4 with double quantization, rank 16 on all
linears, bf16; beside each measured number stands the arithmetic model of the same step. Prints
Markdown; --record also writes the JSON record and the tables of Docs/Benchmarks/scale.md.
"""

import argparse
import json
import os
import statistics
import sys

from sitting import BENCH, RECORDS, ROOT, Sitting, pooled, rewrite, say, table

COMMAND = "make bench-scale BENCH=--record"
SMALL = "smollm2-135m"
BUDGET_SHAPE, BUDGET_TOKENS, BUDGET_BYTES = "llama-7b", 512, 6 * 2**30


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, for trying out")
    parser.add_argument("--fresh", action="store_true", help="forgets an unfinished sitting")
    parser.add_argument("--record", action="store_true", help="writes the record and scale.md")
    parser.add_argument("--steps", type=int, help="timed steps of a row, after one that warms up")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    options.steps = options.steps or (1 if options.quick else 5)
    if options.record and options.quick:
        parser.error("--quick gives no numbers to record")
    return options


def sizes(quick):
    """Name of a series, then shape, sequences, their length, and whether blocks are recomputed."""
    if quick:
        yield from (("tokens", SMALL, n, 64, False) for n in (1, 2))
        yield from (("length", SMALL, 256 // n, n, False) for n in (128, 256))
        yield from (("shape", name, 1, 32, True) for name in (SMALL, "smollm2-360m"))
        return
    yield from (("tokens", SMALL, n // 128, 128, False) for n in (2**k for k in range(7, 14)))
    yield from (("length", SMALL, 8192 // n, n, False) for n in (512, 1024, 2048, 4096, 8192))
    shapes = (SMALL, "smollm2-360m", "llama-1b", "llama-3b", "llama-7b")
    yield from (("shape", name, 1, 512, True) for name in shapes)


def peak(sitting, options):
    """Operations per second of this processor's fp32 multiply-adds, as qlora measures them."""
    lines = sitting.turn("peak", [
        BENCH, "kernels", "--tokens", 1, "--shapes", "64x64", "--rounds", 15,
        "--threads", options.threads])
    return next((x["gigaflops"] * 1e9 for x in lines or [] if x["operation"] == "peak"), None)


def measure(sitting, options, size):
    """One row of the record; None where the run failed."""
    series, shape, sequences, length, recomputing = size
    name = f"{series}-{shape}-{sequences}x{length}"
    # Where a step takes minutes, three say as much as five of a step of seconds.
    steps = min(options.steps, 3) if shape in ("llama-3b", "llama-7b") else options.steps
    lines = sitting.turn(name, [
        BENCH, "step", "--json", "--shape", shape, "--sequences", sequences, "--length", length,
        "--steps", steps, "--threads", options.threads,
        *(["--checkpointing"] if recomputing else [])])
    if not lines:
        return None
    last = lines[-1]
    row = {"series": series, "shape": shape, "sequences": sequences, "length": length,
           "recomputing": recomputing, **pooled([last])}
    for key in ("device", "tokens", "linearParameters", "headWeights", "adapterParameters",
                "attentionPerToken", "operationsPerToken", "weightBytes", "loadSeconds"):
        row[key] = last[key]
    row["secondsPerToken"] = statistics.median(row["stepSeconds"]) / row["tokens"]
    row["operationsPerSecond"] = row["operationsPerToken"] / row["secondsPerToken"]
    return row


def lines(rows, fp32):
    for row in rows:
        model = row["operationsPerToken"]
        yield [
            row["shape"], f"{row['sequences']} x {row['length']}", f"{model / 1e9:.3f}",
            f"{model / fp32 * 1e3:.2f}" if fp32 else "",
            f"{row['secondsPerToken'] * 1e3:.2f}", f"{row['operationsPerSecond'] / 1e9:.0f}",
            f"{statistics.median(row['stepSeconds']):.2f}",
            f"{row['peakMemoryBytes'] / 2**20:,.0f} MiB"]


TITLES = {
    "tokens": "Tokens per step, in sequences of 128",
    "length": "Sequence length, at 8192 tokens per step",
    "shape": "Shape, 512 tokens per step, all blocks recomputed",
}


def markdown(record):
    machine, fp32 = record["machine"], record["float32PeakOperationsPerSecond"]
    head = ["", "sequences", "GFLOP per token", "ms at the fp32 peak", "ms per token", "GFLOP/s",
            "s per step", "peak memory"]
    parts = [
        f"{record['date']}, {machine['processor']}, {machine['cores']} cores, {record['threads']} "
        f"threads ({', '.join(machine['instructionSets'])}); load before {machine['load'][0]}; "
        f"qlora {record['commit']}, {record['device']}; fp32 peak "
        + (f"{fp32 / 1e9:.0f} GFLOP/s. " if fp32 else "not measured. ")
        + f"Medians of {record['steps']} steps (3 of the two largest shapes)."]
    for series, title in TITLES.items():
        rows = [row for row in record["rows"] if row["series"] == series]
        parts.append(f"{title}:\n\n" + table(head, lines(rows, fp32)))
    if record["problems"]:
        parts.append("Not as it should be:\n" + "\n".join(f"* {p}" for p in record["problems"]))
    return "\n\n".join(parts)


def problems(rows, missing):
    yield from (f"{name} did not run" for name in missing)
    for row in rows:
        over = row["peakMemoryBytes"] > BUDGET_BYTES
        if (row["shape"], row["tokens"]) == (BUDGET_SHAPE, BUDGET_TOKENS) and over:
            yield f"{BUDGET_SHAPE} took {row['peakMemoryBytes']} bytes, {BUDGET_BYTES} allowed"


def main():
    options = arguments()
    settings = {name: getattr(options, name) for name in ("quick", "steps", "threads")}
    sitting = Sitting("scale-quick" if options.quick else "scale", settings, options.fresh)
    fp32 = peak(sitting, options)
    found = [(size, measure(sitting, options, size)) for size in sizes(options.quick)]
    rows = [row for _, row in found if row]
    record = {
        "what": "cost per token of a training step on random weights, NF4 + DQ, rank 16, bf16",
        "command": COMMAND, "date": sitting.date, "commit": sitting.commit,
        "machine": sitting.machine, "threads": options.threads, "steps": options.steps,
        "device": rows[0]["device"] if rows else "unknown",
        "float32PeakOperationsPerSecond": fp32, "rows": rows,
        "problems": list(problems(rows, ["-".join(map(str, s)) for s, row in found if not row])),
    }
    print(markdown(record))
    (sitting.folder / "record.json").write_text(json.dumps(record, indent=2) + "\n")
    if options.record:
        path = RECORDS / f"{record['date']}-scale.json"
        path.write_text(json.dumps(record, indent=2) + "\n")
        text = markdown(record) + f"\n\n[The record]({path.name})."
        rewrite(RECORDS / "scale.md", "scale", text)
        say(f"bench: wrote {path.relative_to(ROOT)} and Docs/Benchmarks/scale.md")
    if record["problems"]:
        say("bench: " + "\nbench: ".join(record["problems"]))
        sys.exit(1)


if __name__ == "__main__":
    main()
