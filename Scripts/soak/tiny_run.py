"""What the soaks of whole runs share: the smallest model with rows and a recipe, the qlora binary,
and everything of a finished run that no interruption may change.

Nothing here needs a package; inotify comes from the C library, so these scripts are for Linux.
"""

import ctypes
import datetime
import json
import os
import pathlib
import platform
import random
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "Tests" / "Goldens"
BINARY = os.environ.get("QLORA_BINARY", str(ROOT / ".build" / "release" / "qlora"))
# Keys of metrics.jsonl that tell of time and memory.
TIME_KEYS = ("tokensPerSecond", "peakMemoryBytes", "elapsedSeconds")
WORDS = ["call", "play", "the", "door", "light", "song", "at", "ten", "on", "off"]

RECIPE = {
    "model": {"path": "model", "computeDType": "float32"},
    "adapter": {"rank": 4, "alpha": 8, "dropout": 0.1},
    "data": {
        "train": [{"path": "train.jsonl"}], "validation": [{"path": "validation.jsonl"}],
        "maxTokens": 96, "packing": False,
    },
    "training": {
        "steps": 12, "batchSize": 1, "gradientAccumulation": 3,
        "optimizer": {"learningRate": 1e-2, "weightDecay": 0.1},
        "schedule": {"type": "cosine", "warmupSteps": 2}, "evalEvery": 3, "saveEvery": 1,
    },
    "threads": 1,
}


def rows(count, seed):
    """`count` chats of a few words, as lines of JSON."""
    generator = random.Random(seed)
    lines = []
    for _ in range(count):
        ask = " ".join(generator.choice(WORDS) for _ in range(generator.randint(2, 6)))
        messages = [("user", ask), ("assistant", generator.choice(WORDS))]
        lines.append(json.dumps(
            {"messages": [{"role": role, "content": text} for role, text in messages]}))
    return "\n".join(lines) + "\n"


class Workplace:
    """A temporary folder with `model/`, rows and `recipe.json`; SOAK_TMPDIR says where."""

    def __init__(self, train_rows=13):
        place = os.environ.get("SOAK_TMPDIR")
        self.temporary = tempfile.TemporaryDirectory(prefix="qlora-soak-", dir=place)
        self.path = pathlib.Path(self.temporary.name)
        model = self.path / "model"
        model.mkdir()
        for folder, names in (
            ("tiny-llama", ("config.json", "generation_config.json", "model.safetensors")),
            ("tiny-chat", ("tokenizer.json", "tokenizer_config.json")),
        ):
            for name in names:
                shutil.copy(GOLDENS / folder / name, model / name)
        (self.path / "train.jsonl").write_text(rows(train_rows, 1))
        (self.path / "validation.jsonl").write_text(rows(4, 2))
        (self.path / "recipe.json").write_text(json.dumps(RECIPE))
        self.environment = dict(os.environ, QLORA_CACHE=str(self.path / "cache"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def start(self, *arguments, **options):
        """qlora with these arguments, running; stderr is to be read."""
        return subprocess.Popen(
            [BINARY, *map(str, arguments)], cwd=self.path, env=self.environment,
            stdout=options.pop("stdout", subprocess.DEVNULL), stderr=subprocess.PIPE, text=True,
            **options)

    def run(self, *arguments, **options):
        """Its exit code and stderr."""
        return finish(self.start(*arguments, **options))

    def train(self, output, *settings, **options):
        return self.start("train", "recipe.json", "--output", output, *sets(settings), **options)

    def expect(self, *arguments, code=0):
        """Runs it and ends the soak where it ends otherwise than with `code`."""
        found, text = self.run(*arguments)
        if found != code:
            sys.exit(f"qlora {' '.join(map(str, arguments))}: exit {found}, not {code}\n{text}")
        return text

    def result(self, output):
        """Everything of a finished run that may depend on nothing but recipe and inputs."""
        run = self.path / output
        newest = max((run / "checkpoints").glob("step-*"))
        files = [*sorted((run / "adapter").iterdir())]
        files += [newest / "adapter_model.safetensors", newest / "optimizer.safetensors"]
        found = {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}
        found["metrics"] = metrics(run)
        return found


def sets(settings):
    return [word for setting in settings for word in ("--set", setting)]


def metrics(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIME_KEYS} for line in lines]


def finish(process):
    _, text = process.communicate()
    return process.returncode, text


class Arrivals:
    """Waits until names that begin with `prefix` appear in a folder."""

    # From <sys/inotify.h>: the file was made; and the fixed part of an event: watch, mask, cookie,
    # length of the name.
    CREATED = 0x100
    HEAD = struct.Struct("iIII")

    def __init__(self, folder, prefix):
        self.prefix = prefix
        library = ctypes.CDLL(None, use_errno=True)
        self.descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if library.inotify_add_watch(self.descriptor, os.fsencode(folder), self.CREATED) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(folder))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.descriptor)

    def wait(self, count, process):
        """Whether `count` names came before the process ended."""
        while count > 0:
            if not select.select([self.descriptor], [], [], 0.02)[0]:
                if process.poll() is not None:
                    return False
                continue
            events = os.read(self.descriptor, 1 << 16)
            while events:
                length = self.HEAD.unpack_from(events)[3]
                name = events[self.HEAD.size:self.HEAD.size + length].rstrip(b"\0")
                count -= name.startswith(self.prefix.encode())
                events = events[self.HEAD.size + length:]
        return True


def machine():
    """`date, commit, processor, processors`, for logs."""
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
         if line.startswith("model name")), platform.machine())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    return f"{date}, commit {commit}, {model}, {os.cpu_count()} processors"


class Progress:
    """Prints a heading, and how far a soak is every minute."""

    def __init__(self, name):
        self.name, self.start = name, time.monotonic()
        self.told = self.start
        say(f"{name}: {machine()}")

    def at(self, text):
        if time.monotonic() - self.told >= 60:
            self.told = time.monotonic()
            say(f"{self.name}: {text} after {self.told - self.start:.0f} s")

    def end(self, text):
        say(f"{self.name}: {text} in {time.monotonic() - self.start:.0f} s")


def say(text):
    print(text, flush=True)
