"""Kill trials: runs that SIGKILL ends at random moments, many of them within a save, and that
`qlora resume` brings to the bits of an uninterrupted run.

usage: Scripts/soak/kills.py [TRIALS] [SEED]      (1100 1)

A kill counts as within a save where what the save had not yet committed or removed is still there
afterwards. SOAK_TMPDIR says on which file system, SOAK_JOBS how many run at a time (2).
"""

import concurrent.futures
import os
import random
import signal
import sys
import threading
import time

from tiny_run import RECIPE, Arrivals, Progress, Workplace, finish, say

STEPS = RECIPE["training"]["steps"]
# Of all kills, the part that waits for a save to begin.
AIMED = 0.6


class Counts:
    def __init__(self):
        self.lock = threading.Lock()
        self.values = dict.fromkeys(
            ("trials", "kills", "inSave", "tooLate", "notBegun", "different"), 0)

    def add(self, name):
        with self.lock:
            self.values[name] += 1

    def __getitem__(self, name):
        return self.values[name]


def leftovers(run):
    """What a save leaves where it is cut: files not yet committed, checkpoints half removed."""
    folder = run / "checkpoints"
    names = os.listdir(folder) if folder.is_dir() else []
    return [name for name in names if name.startswith((".tmp-", ".trash-"))]


def kill(process, run, generator, seconds, counts):
    """Kills a running qlora at a random moment. Returns whether it was still running."""
    if generator.random() < AIMED:
        with Arrivals(run / "checkpoints", ".tmp-step-") as saves:
            if saves.wait(generator.randint(1, STEPS - 1), process):
                time.sleep(generator.uniform(0, seconds["save"]))
    else:
        # Late moments would often find the run finished.
        time.sleep(generator.uniform(0, 0.8 * seconds["run"]))
    process.send_signal(signal.SIGKILL)
    code, _ = finish(process)
    if code == -signal.SIGKILL:
        counts.add("kills")
        if leftovers(run):
            counts.add("inSave")
    else:
        counts.add("tooLate")
    return code == -signal.SIGKILL


def trial(place, number, seed, expected, seconds, counts):
    """One run that is killed once or twice and then resumed until it has finished."""
    generator = random.Random(seed * 1_000_003 + number)
    output = f"killed-{number}"
    run = place.path / output
    # There before the run, so that its first save can be waited for.
    (run / "checkpoints").mkdir(parents=True)
    process = place.train(output)
    for _ in range(generator.randint(1, 2)):
        kill(process, run, generator, seconds, counts)
        process = place.start("resume", output)
    code, text = finish(process)
    if code == 66:
        # Killed before the run was on record: there is nothing to resume, and nothing in the way.
        counts.add("notBegun")
        code, text = finish(place.train(output))
    counts.add("trials")
    if code != 0 or place.result(output) != expected or leftovers(run):
        counts.add("different")
        say(f"kills: trial {number} of seed {seed} ended with {code} or other bits\n{text}")
    else:
        remove(run)


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def measure(place):
    """Seconds of a whole run and of one of its saves."""
    start = time.monotonic()
    place.expect("train", "recipe.json", "--output", "whole")
    whole = time.monotonic() - start
    times = []
    process = place.train("watched")
    folder = place.path / "watched" / "checkpoints"
    while process.poll() is None:
        # What is seen of temporary folders is most of a save.
        if folder.is_dir() and leftovers(folder.parent):
            begin = time.monotonic()
            while leftovers(folder.parent) and process.poll() is None:
                time.sleep(0.0002)
            times.append(time.monotonic() - begin)
    finish(process)
    times.sort()
    return {"run": whole, "save": times[len(times) // 2] if times else whole / STEPS}


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 1100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    progress = Progress("kills")
    counts = Counts()
    with Workplace() as place:
        seconds = measure(place)
        expected = place.result("whole")
        say(f"kills: a run takes {seconds['run']:.2f} s, a save {seconds['save'] * 1000:.1f} ms")
        jobs = int(os.environ.get("SOAK_JOBS", "2"))
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            tasks = [
                pool.submit(trial, place, number, seed, expected, seconds, counts)
                for number in range(trials)
            ]
            for task in concurrent.futures.as_completed(tasks):
                task.result()
                progress.at(f"{counts['trials']} trials, {counts['kills']} kills")
    part = 100 * counts["inSave"] / max(1, counts["kills"])
    progress.end(
        f"{counts['trials']} trials, {counts['kills']} kills, {counts['inSave']} of them within a "
        f"save ({part:.0f} %), {counts['tooLate']} came after the end, {counts['notBegun']} before "
        f"the run was on record; {counts['different']} ended with other bits")
    sys.exit(1 if counts["different"] else 0)


if __name__ == "__main__":
    main()
