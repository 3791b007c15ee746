"""A long run on the smallest model: memory and open files stay as they are.

usage: Scripts/soak/long_run.py [STEPS]      (20000)
"""

import json
import os
import subprocess
import sys

from tiny_run import Progress, Workplace, finish, say, sets

# Part of the steps before memory is measured first, and what it may grow by after.
SETTLED = 0.1
BOUND = 0.01


def memory(process):
    """KiB in memory, and how many of them are no file's."""
    lines = [line.split() for line in open(f"/proc/{process.pid}/status")]
    found = {words[0]: int(words[1]) for words in lines if words[0] in ("VmRSS:", "RssAnon:")}
    return found["VmRSS:"], found["RssAnon:"]


def handles(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    progress = Progress("long_run")
    settings = [
        f"training.steps={steps}", "training.evalEvery=100", "training.saveEvery=200",
        "training.gradientAccumulation=1", "training.optimizer.learningRate=1e-4", "threads=2",
    ]
    samples = []
    with Workplace() as place:
        process = place.start(
            "train", "recipe.json", "--output", "run", *sets(settings), "--json",
            stdout=subprocess.PIPE)
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["step"] % max(1, steps // 200) == 0:
                samples.append((event["step"], memory(process), handles(process)))
                progress.at(f"step {event['step']}")
        code, text = finish(process)
    if code != 0:
        sys.exit(f"long_run: exit {code}\n{text}")
    settled = [sample for sample in samples if sample[0] >= SETTLED * steps]
    first, last = settled[0], settled[-1]
    growth = max(kib for _, (kib, _), _ in settled) / first[1][0] - 1
    half = len(settled) // 2
    # A save that is under way has a file or a folder of its own.
    files = [max(count for _, _, count in part) for part in (settled[:half], settled[half:])]
    for step, (kib, own), count in (first, settled[half], last):
        say(f"long_run: step {step}: {kib} KiB in memory, {own} of them its own; {count} files")
    progress.end(
        f"{steps} steps: memory grew by {100 * growth:.2f} % at most, open files were at most "
        f"{files[0]} in the first half and {files[1]} in the second")
    sys.exit(0 if growth <= BOUND and files[1] <= files[0] else 1)


if __name__ == "__main__":
    main()
