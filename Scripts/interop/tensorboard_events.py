"""The event files of a run as the real TensorBoard reads them: equal to metrics.jsonl, one clean
curve after kills and resumes, and to a TensorBoard that watched all the time, too."""

import json
import math
import pathlib
import signal
import subprocess
import tempfile
import time

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tb_logging

import common

# What it forgets at a restart is expected.
tb_logging.get_logger().setLevel("ERROR")


def mebibytes(line):
    return line["peakMemoryBytes"] / 2**20


TAGS = {
    "train/loss": lambda line: line.get("loss"),
    "train/learning_rate": lambda line: line.get("learningRate"),
    "train/gradient_norm": lambda line: line.get("gradientNorm"),
    "train/tokens_per_second": lambda line: line.get("tokensPerSecond"),
    "train/peak_memory_mib": lambda line: line.get("peakMemoryBytes") and mebibytes(line),
    "eval/loss": lambda line: line.get("evalLoss"),
}


def expected(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        tag: [
            (line["step"], numpy.float32(value(line)))
            for line in lines
            if value(line) is not None
        ]
        for tag, value in TAGS.items()
    }


def found(accumulator):
    accumulator.Reload()
    return {
        tag: [(event.step, numpy.float32(event.value)) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def accumulator(run):
    return EventAccumulator(str(run), size_guidance={"scalars": 0})


def wall_times(run):
    reader = accumulator(run)
    reader.Reload()
    return [event.wall_time for event in reader.Scalars("train/loss")]


def kill_after(run, command, lines):
    """Starts a run and kills it once its log has so many lines."""
    process = subprocess.Popen(
        [common.BINARY, *map(str, command)], cwd=common.ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    log = run / "metrics.jsonl"
    while process.poll() is None:
        if log.exists() and log.read_bytes().count(b"\n") >= lines:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    return process.wait()


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        common.make_tiny_chat_model(folder / "base")
        common.write_rows(folder / "rows.jsonl", common.text_rows(60, 1))
        recipe = common.write_recipe(
            folder / "recipe.json", folder / "base", folder / "rows.jsonl",
            data={"validation": [{"path": str(folder / "rows.jsonl"), "format": "text"}]},
            training={"steps": 400, "batchSize": 1, "evalEvery": 10, "saveEvery": 7},
        )

        run = folder / "whole"
        common.qlora("train", recipe, "--output", run)
        same = found(accumulator(run)) == expected(run)
        common.require("whole run: every scalar of metrics.jsonl", same)
        files = list(run.glob("events.out.tfevents.*"))
        common.require("whole run: one event file", len(files) == 1)
        records = list(EventFileLoader(str(files[0])).Load())
        common.require("whole run: version 2", records[0].file_version == "brain.Event:2")
        times = wall_times(run)
        rises = times == sorted(times) and math.isfinite(sum(times))
        common.require("whole run: times rise", rises)

        run = folder / "killed"
        watching = None
        kills = 0
        for lines in (25, 90, 200, 310):
            command = ["resume", run] if kills else ["train", recipe, "--output", run]
            status = kill_after(run, command, lines)
            kills += status == -signal.SIGKILL
            watching = watching or accumulator(run)
            watching.Reload()
        common.require(f"{kills} kills", kills >= 3)
        common.qlora("resume", run)
        common.require("killed run: every scalar once", found(accumulator(run)) == expected(run))
        same = found(watching) == expected(run)
        common.require("killed run: a TensorBoard that watched sees the same", same)
        files = len(list(run.glob("*tfevents*")))
        common.require(f"killed run: {files} event files, one for each start", files == kills + 1)
        times = wall_times(run)
        common.require("killed run: times rise", times == sorted(times))
    common.finish()


main()
