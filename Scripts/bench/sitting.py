"""What the benchmark scripts share: the machine, a sitting that can be continued, Markdown.

Needs nothing but Python. A sitting is a folder under .build/bench with one JSON file per finished
turn; the same command, run again within a day with the same binary, continues where it was cut.
"""

import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / ".build" / "release" / "qlora-bench"
RECORDS = ROOT / "Docs" / "Benchmarks"
FLAGS = "avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8 asimd bf16 i8mm".split()
LONGEST_SITTING_SECONDS = 24 * 3600


def say(text):
    print(text, file=sys.stderr, flush=True)


def commit():
    """The commit that is measured, marked where tracked files differ from it."""
    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "Sources", "Scripts")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def machine():
    """Processor, cores in use, memory and the instruction sets that decide."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    fields = dict(
        (key.strip(), value.strip())
        for key, _, value in (line.partition(":") for line in text.splitlines())
    )
    found = set((fields.get("flags") or fields.get("Features") or "").split())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": fields.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "memoryBytes": pages,
        "instructionSets": [flag for flag in FLAGS if flag in found],
        "load": [round(x, 2) for x in os.getloadavg()],
    }


class Sitting:
    """Turns of one comparison, each run once and kept."""

    def __init__(self, what, options, fresh=False):
        self.folder = ROOT / ".build" / "bench" / what
        built = BENCH.stat().st_mtime
        identity = {"commit": commit(), "built": built, "options": options}
        note = self.folder / "sitting.json"
        known = json.loads(note.read_text()) if note.exists() else {}
        young = time.time() - known.get("began", 0) < LONGEST_SITTING_SECONDS
        if fresh or not young or {k: known.get(k) for k in identity} != identity:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            known = {**identity, "began": time.time(), "machine": machine()}
            note.write_text(json.dumps(known))
        else:
            say(f"bench: continuing the sitting in {self.folder.relative_to(ROOT)}")
        self.commit = known["commit"]
        self.machine = known["machine"]
        self.date = datetime.date.fromtimestamp(known["began"]).isoformat()

    def turn(self, name, command, environment=()):
        """The JSON lines of a command, from this run or the one before; None where it failed."""
        path = self.folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
        say(f"bench: {name}")
        log = self.folder / f"{name}.log"
        with open(log, "w") as errors:
            done = subprocess.run(
                [str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors,
                text=True, env={**os.environ, **dict(environment)})
        lines = [json.loads(x) for x in done.stdout.splitlines() if x.startswith("{")]
        if done.returncode != 0 or not lines:
            tail = "\n".join(log.read_text().splitlines()[-3:])
            say(f"bench: {name} failed with status {done.returncode}\n{tail}")
            return None
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(lines))
        partial.rename(path)
        return lines


def pooled(turns):
    """Speed and memory of one row over all its turns; every timed step counts."""
    seconds = [s for turn in turns for s in turn["stepSeconds"]]
    tokens = turns[0]["tokens"]
    return {
        "tokensPerSecond": tokens / statistics.median(seconds),
        "fastestTokensPerSecond": tokens / min(seconds),
        "stepSeconds": [round(s, 4) for s in seconds],
        "peakMemoryBytes": max(turn["peakMemoryBytes"] for turn in turns),
    }


def table(head, rows):
    """A Markdown table; the first column is text, the others are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, rule, *rows])


def rewrite(path, name, text):
    """Puts text between the marks of a region in a document."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{path.name} has no region {name}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
