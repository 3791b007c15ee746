"""Signals to runs that load and quantize, that step, and that save: the exit code is one of the
contract's, and a resume ends with the bits of an uninterrupted run.

usage: Scripts/soak/signal_trials.py [TRIALS] [SEED] [SIGNAL]      (50 1, all)
Trials are of each signal in each phase.

Before the program has begun to watch for signals, they end it as they end any program; nothing is
on record then, and the run is started again.
"""

import collections
import concurrent.futures
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from tiny_run import RECIPE, Arrivals, Progress, Workplace, finish, say

SIGNALS = {
    "INT": [signal.SIGINT], "INT twice": [signal.SIGINT, signal.SIGINT],
    "TERM": [signal.SIGTERM], "HUP": [signal.SIGHUP], "USR1": [signal.SIGUSR1],
    "USR2": [signal.SIGUSR2], "XCPU": [signal.SIGXCPU],
}
PHASES = ("load", "step", "save")
STEPS = RECIPE["training"]["steps"]


def watch(process):
    """Reads the events of a run until it has begun to train."""
    for line in process.stdout:
        if json.loads(line)["event"] == "started":
            return


def wait(phase, process, run, generator, seconds):
    if phase == "load":
        time.sleep(generator.uniform(0, seconds["load"]))
    elif phase == "step":
        watch(process)
        # Late moments would often find the run finished.
        time.sleep(generator.uniform(0, 0.7 * (seconds["run"] - seconds["load"])))
    else:
        with Arrivals(run / "checkpoints", ".tmp-step-") as saves:
            saves.wait(generator.randint(1, STEPS - 1), process)


def trial(place, name, phase, number, seed, expected, seconds):
    """Returns the exit code and whether the bits were the same in the end."""
    generator = random.Random(f"{seed} {name} {phase} {number}")
    output = f"{name.replace(' ', '-')}-{phase}-{number}"
    run = place.path / output
    (run / "checkpoints").mkdir(parents=True)
    process = place.start(
        "train", "recipe.json", "--output", output, "--json", stdout=subprocess.PIPE)
    wait(phase, process, run, generator, seconds)
    for one in SIGNALS[name]:
        process.send_signal(one)
        # Two that arrive together are one to the kernel.
        time.sleep(generator.uniform(0, 0.01))
    code, _ = finish(process)
    if code == 0:
        return code, place.result(output) == expected
    last, text = place.run("resume", output)
    if last == 66:
        last, text = finish(place.train(output))
    if last != 0:
        say(f"signals: {output} of seed {seed} ended with {code}, its resume with {last}\n{text}")
    return code, last == 0 and place.result(output) == expected


def allowed(name, phase, code):
    if code in (0, 75):
        return True
    if name == "INT twice" and code == 130:
        return True
    # Not watching yet.
    return phase == "load" and code == -SIGNALS[name][0]


def measure(place):
    start = time.monotonic()
    process = place.start(
        "train", "recipe.json", "--output", "whole", "--json", stdout=subprocess.PIPE)
    watch(process)
    load = time.monotonic() - start
    code, text = finish(process)
    if code != 0:
        sys.exit(text)
    return {"load": load, "run": time.monotonic() - start}


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    names = sys.argv[3:] or list(SIGNALS)
    progress = Progress("signals")
    # Ignored signals, as nohup and shells in the background leave them, would stay so in children;
    # handled ones do not.
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, lambda number, _: sys.exit(128 + number))
    wrong = 0
    with Workplace() as place:
        # Every run quantizes.
        place.environment["QLORA_CACHE"] = "off"
        seconds = measure(place)
        expected = place.result("whole")
        done = 0
        lock = threading.Lock()
        jobs = int(os.environ.get("SOAK_JOBS", "2"))
        for name in names:
            for phase in PHASES:
                codes = collections.Counter()

                def one(number):
                    nonlocal wrong, done
                    code, same = trial(place, name, phase, number, seed, expected, seconds)
                    with lock:
                        codes[code] += 1
                        done += 1
                        wrong += not same or not allowed(name, phase, code)
                        progress.at(f"{done} trials")

                with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                    list(pool.map(one, range(trials)))
                found = ", ".join(f"{count} × {code}" for code, count in sorted(codes.items()))
                say(f"signals: {name} during {phase}: {found}")
    progress.end(f"{done} trials, {wrong} with another code or other bits")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
