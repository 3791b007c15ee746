"""Two processes that want the same: to train into one folder, to resume one run, to quantize into
one folder, to keep one base in the cache. One wins; the other says so, or needs nothing of it.

usage: Scripts/soak/races.py [RACES]      (200)
"""

import collections
import random
import sys
import time

from tiny_run import Progress, Workplace, finish, say, sets

KINDS = ("train", "resume", "quantize", "cache")


def start(place, kind, number, generator):
    """Two processes that begin within a hundredth of a second of each other."""
    output = f"{kind}-{number}"
    if kind == "resume":
        # The one that resumes it goes on longer than the other has patience for its lock.
        place.expect(
            "train", "recipe.json", "--output", output,
            *sets(["training.maxWallTime=2s", "training.steps=1000000", "training.saveEvery=0"]),
            code=75)
    if kind == "cache":
        place.environment["QLORA_CACHE"] = str(place.path / f"cache-{number}")
    commands = {
        "train": ["train", "recipe.json", "--output", output],
        "resume": ["resume", output],
        "quantize": ["quantize", "model", "--output", output],
    }
    pair = []
    for member in range(2):
        command = commands.get(kind) or [
            "train", "recipe.json", "--output", f"{output}-{member}"]
        pair.append(place.start(*command))
        if member == 0:
            time.sleep(generator.uniform(0, 0.01))
    return output, pair


def same(place, kind, output, expected):
    """Whether what the race left is whole."""
    if kind == "train":
        return place.result(output) == expected
    if kind == "cache":
        return all(place.result(f"{output}-{member}") == expected for member in range(2)) and \
            place.run("cache", "verify")[0] == 0
    if kind == "quantize":
        files = {f.name: f.read_bytes() for f in (place.path / output).iterdir()}
        return files == expected
    return True


def main():
    races = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    progress = Progress("races")
    generator = random.Random(1)
    wrong = 0
    with Workplace() as place:
        place.expect("train", "recipe.json", "--output", "whole")
        trained = place.result("whole")
        place.expect("quantize", "model", "--output", "quantized")
        quantized = {f.name: f.read_bytes() for f in (place.path / "quantized").iterdir()}
        for kind in KINDS:
            outcomes = collections.Counter()
            for number in range(races // len(KINDS)):
                output, pair = start(place, kind, number, generator)
                ends = [finish(process) for process in pair]
                codes = tuple(sorted(code for code, _ in ends))
                outcomes[codes] += 1
                good = {"resume": [(73, 75)], "cache": [(0, 0)]}.get(kind, [(0, 73)])
                expected = quantized if kind == "quantize" else trained
                if codes not in good or not same(place, kind, output, expected):
                    wrong += 1
                    say(f"races: {kind} {number} ended with {codes}\n{ends[0][1]}\n{ends[1][1]}")
                progress.at(f"{kind} {number}")
            found = ", ".join(f"{count} × {codes}" for codes, count in outcomes.items())
            say(f"races: {kind}: {found}")
    progress.end(f"{races // len(KINDS) * len(KINDS)} races, {wrong} with another outcome")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
