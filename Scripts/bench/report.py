"""The record of a sitting and its tables."""

import json

from sitting import RECORDS, ROOT, pooled, rewrite, say, table

BOUND = 0.01
TITLES = {
    "packed": "packed sequences, every token labelled",
    "toolCalls": "tool calls, as users of each run them",
}
COMMAND = "make bench BENCH=--record"


def deviation(turns, key, expected):
    """The largest relative distance of any timed step from the oracle."""
    return max(abs(value / expected - 1) for turn in turns for value in turn[key])


def entry(spec, turns, oracle):
    """One row of the record."""
    found = {name: spec[name] for name in ("side", "workload", "label", "isa")}
    found |= pooled(turns)
    last = turns[-1]
    for key in ("capability", "device", "tokens", "labelledTokens", "paddedTokens", "threads",
                "importedMemoryBytes"):
        if key in last:
            found[key] = last[key]
    if oracle:
        found["lossDeviation"] = deviation(turns, "losses", oracle["loss"])
        found["normDeviation"] = deviation(turns, "gradientNorms", oracle["gradientNorm"])
        found["withinBound"] = max(found["lossDeviation"], found["normDeviation"]) <= BOUND
    return found


def best(rows, **wanted):
    """The fastest row with these values; None where there is none."""
    fitting = [r for r in rows if all(r.get(k) == v for k, v in wanted.items())]
    return max(fitting, key=lambda r: r["tokensPerSecond"], default=None)


def kernel_rows(found):
    """A single token through a 4-bit linear of 4096 x 4096, and gigabytes quantized a second."""
    result = {}
    for line in found["products"] or []:
        if (line.get("operation"), line.get("tokens")) == ("linear", 1):
            result["linearSeconds"] = line["seconds"]
    if found["load"]:
        result["loadGigabytesPerSecond"] = found["load"][-1]["float32GigabytesPerSecond"]
    for name in ("peer", "peerAVX2"):
        if found.get(name):
            result[name] = found[name][-1]
    return result


def summarize(sitting, options, specs, turns, oracle, counts, kernels):
    """The record of a whole sitting, with what went wrong in `problems`."""
    problems = [
        f"{spec['key']}: {len(turns[spec['key']])} of {options.rounds} turns ran"
        for spec in specs if len(turns[spec["key"]]) < options.rounds]
    remarks = []
    rows = [
        entry(spec, turns[spec["key"]], oracle.get(spec["workload"]))
        for spec in specs if turns[spec["key"]]]
    for row in rows:
        if not row.get("withinBound", True):
            # The rounding of the peer's bf16 is its own affair; any other distance is a fault.
            excused = row["side"] == "peer" and row["label"].startswith("bf16")
            (remarks if excused else problems).append(
                f"{row['side']} {row['workload']} {row['label']}: loss within "
                f"{row['lossDeviation']:.2%}, gradient norm within {row['normDeviation']:.2%} "
                f"of the oracle, {BOUND:.0%} allowed")
        rival = best(rows, side="peer", workload=row["workload"],
                     isa="avx2" if row["isa"] == "avx2" else "all")
        if rival:
            row["overBestPeer"] = row["tokensPerSecond"] / rival["tokensPerSecond"]
            row["memoryOverBestPeer"] = row["peakMemoryBytes"] / rival["peakMemoryBytes"]
        if row["workload"] == "toolCalls":
            row["epochSeconds"] = counts["epoch"]["tokens"] / row["tokensPerSecond"]
    peers = [turn for spec in specs if spec["side"] == "peer" for turn in turns[spec["key"]]]
    return {
        "what": "training step of SmolLM2-135M-Instruct, NF4 + DQ, rank 16 on all linears",
        "command": COMMAND,
        "date": sitting.date,
        "commit": sitting.commit,
        "machine": sitting.machine,
        "threads": options.threads,
        "order": f"{options.rounds} rounds in alternation, {options.steps} timed steps after one "
                 "that warms up, each turn a process",
        "versions": peers[-1]["versions"] if peers else {},
        "oracle": oracle,
        "toolCalls": counts,
        "rows": rows,
        "kernels": kernel_rows(kernels),
        "remarks": remarks,
        "problems": problems,
    }


def percent(value):
    return "" if value is None else f"{value:.2%}"


def lines(record, workload):
    """The rows of a workload: both sides, and within them the fastest first."""
    rows = [r for r in record["rows"] if r["workload"] == workload]
    for row in sorted(rows, key=lambda r: (r["side"], r["isa"] == "avx2", -r["tokensPerSecond"])):
        ratio = row.get("overBestPeer")
        cells = [
            ("transformers " if row["side"] == "peer" else "qlora ") + row["label"],
            f"{row['tokensPerSecond']:.0f}", f"{row['fastestTokensPerSecond']:.0f}",
            f"{row['peakMemoryBytes'] / 2**20:,.0f} MiB",
            percent(row.get("lossDeviation")), percent(row.get("normDeviation")),
            "" if ratio is None else f"{ratio:.2f}",
        ]
        yield cells + ([f"{row['epochSeconds']:.0f}"] if workload == "toolCalls" else [])


def circumstances(record):
    machine = record["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    return (
        f"{record['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{record['threads']} threads ({', '.join(machine['instructionSets'])}); load before "
        f"{machine['load'][0]}; qlora {record['commit']}"
        + (f"; {versions}" if versions else "; no PyTorch on this machine, so qlora alone")
        + f". {record['order'][0].upper()}{record['order'][1:]}.")


def kernel_text(record):
    """What the kernels did, in sentences."""
    found = record["kernels"]
    text = []
    peer = found.get("peer")
    if peer and "linearSeconds" in found:
        seconds = min(peer["linearSeconds"].values())
        text.append(
            f"One token through a 4-bit linear of 4096 x 4096: {found['linearSeconds'] * 1e3:.2f} "
            f"ms, bitsandbytes {seconds * 1e3:.1f} ms ({seconds / found['linearSeconds']:.1f} "
            "times as long).")
    if peer and "loadGigabytesPerSecond" in found:
        text.append(
            "Quantizing to NF4, in gigabytes of fp32 a second: "
            f"{found['loadGigabytesPerSecond']:.2f} for all of loading SmolLM2, "
            f"{peer['quantizeGigabytesPerSecond']:.2f} for `quantize_4bit` alone.")
    if peer and "peerAVX2" in found:
        limited = found["peerAVX2"]
        text.append(
            f"PyTorch's dense products ran at {peer['float32Gigaflops']:.0f} GFLOP/s in fp32 and "
            f"{peer['bfloat16Gigaflops']:.0f} in bf16 ({peer['capability']}); limited, at "
            f"{limited['float32Gigaflops']:.0f} and {limited['bfloat16Gigaflops']:.0f} "
            f"({limited['capability']}). bitsandbytes' own library knows no such limit.")
    imported = [r["importedMemoryBytes"] for r in record["rows"] if "importedMemoryBytes" in r]
    if imported:
        text.append(
            f"Of the peer's memory {max(imported) / 2**20:.0f} MiB are its libraries, imported.")
    return "\n".join(text)


def markdown(record):
    """The whole table."""
    head = ["", "tokens/s", "fastest", "peak memory", "loss within", "norm within", "x best peer"]
    parts = [circumstances(record)]
    for workload, title in TITLES.items():
        more = ["s per epoch"] if workload == "toolCalls" else []
        parts.append(table([title, *head[1:], *more], lines(record, workload)))
    sample, epoch = record["toolCalls"]["sample"], record["toolCalls"]["epoch"]
    parts.append(
        f"The tool calls are {sample['rows']} rows with {sample['tokens']} tokens, "
        f"{sample['labelledTokens']} of them labelled; in padded batches of 4 they take "
        f"{sample['paddedTokens']['4'] / sample['tokens'] - 1:.1%} more, in the whole epoch of "
        f"{epoch['tokens']} tokens {epoch['paddedTokens']['4'] / epoch['tokens'] - 1:.1%}. "
        "Padding is never counted.")
    parts += filter(None, [kernel_text(record)])
    if record["remarks"]:
        parts.append("By its rounding:\n" + "\n".join(f"* {p}" for p in record["remarks"]))
    if record["problems"]:
        parts.append("Not as it should be:\n" + "\n".join(f"* {p}" for p in record["problems"]))
    return "\n\n".join(parts)


def short(record, name):
    """The few lines that README quotes."""
    rows = record["rows"]
    picked = []
    for workload in TITLES:
        rival = best(rows, side="peer", workload=workload, isa="all")
        mine = [
            best(rows, side="qlora", workload=workload, isa="all"),
            *[r for r in rows if r["side"] == "qlora" and r["workload"] == workload
              and r["label"] == "bf16, recomputing"]]
        picked += [(workload, r) for r in [rival, *mine] if r]
    cells = [
        [TITLES[w] + ": " + ("transformers " if r["side"] == "peer" else "qlora ") + r["label"],
         f"{r['tokensPerSecond']:.0f}", f"{r['peakMemoryBytes'] / 2**20:,.0f} MiB",
         f"{r['overBestPeer']:.2f}" if "overBestPeer" in r else ""]
        for w, r in picked]
    machine = record["machine"]
    return (
        table(["", "tokens/s", "peak memory", "x best peer"], cells)
        + f"\n\n{machine['processor']}, {record['threads']} threads, {record['date']}, by "
        f"`{record['command']}` ([all rows](Docs/Benchmarks/step.md), "
        f"[record](Docs/Benchmarks/{name})).")


def publish(record):
    """Writes the record, and its tables into the documents."""
    path = RECORDS / f"{record['date']}-step.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    rewrite(RECORDS / "step.md", "bench", markdown(record) + f"\n\n[The record]({path.name}).")
    rewrite(ROOT / "README.md", "bench", short(record, path.name))
    say(f"bench: wrote {path.relative_to(ROOT)}, Docs/Benchmarks/step.md and README.md")
