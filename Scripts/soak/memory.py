"""Headers of 95 MB that ask for as much memory as they can: the peak of `qlora inspect` beside
that for a tiny file, which may be 64 MiB and the size of the file more. Exit status 1 where it is
not."""

import os
import struct
import sys
import tempfile
import time

BINARY = sys.argv[1] if len(sys.argv) > 1 else ".build/release/qlora"
SIZE = 95_000_000
ALLOWED = 64


def word(value):
    return struct.pack("<Q", value)


def safetensors(start, unit, end=b"}"):
    count = (SIZE - len(start)) // len(unit)
    return [word(len(start) + count * len(unit) + len(end)), start, *parts(unit, count), end]


def parts(unit, count):
    """`count` times `unit`, a megabyte at a time: this process must stay small."""
    chunk = max(1, (1 << 20) // len(unit))
    whole = unit * chunk
    return [whole] * (count // chunk) + [unit * (count % chunk)]


def gguf(kind, count, element):
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + word(1) + b"a" + struct.pack("<II", 9, kind)
    return [head, word(count), *parts(element, count)]


def descriptions(count):
    entry = '"layers.%07d.a.longer.name":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    length = len(entry % 0) + 1
    yield word(1 + count * length)
    yield b"{"
    for index in range(count):
        yield (entry % index + ("," if index < count - 1 else "}")).encode()


FILES = {
    "numbers.safetensors": lambda: safetensors(b'{"a":{"shape":[0', b",0"),
    "objects.safetensors": lambda: safetensors(b'{"a":[{}', b",{}"),
    "pairs.safetensors": lambda: safetensors(b'{"__metadata__":{"a":""', b',"b":""'),
    "escapes.safetensors": lambda: safetensors(b'{"__metadata__":{"k":"', b"\\n"),
    "text.safetensors": lambda: safetensors(b'{"__metadata__":{"k":"', b"x"),
    "nested.safetensors": lambda: safetensors(b'{"a":', b"["),
    "spaces.safetensors": lambda: safetensors(b'{"a":', b" "),
    "tensors.safetensors": lambda: descriptions(131_073),
    "strings.gguf": lambda: gguf(8, 11_000_000, word(0)),
    "texts.gguf": lambda: gguf(8, 2_300_000, word(32) + b"x" * 32),
    "numbers.gguf": lambda: gguf(1, SIZE, b"\0"),
}


def peak(path):
    """MiB, seconds and exit code of `qlora inspect`."""
    start = time.monotonic()
    process = os.fork()
    if process == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.execv(BINARY, [BINARY, "inspect", path])
    _, status, usage = os.wait4(process, 0)
    return usage.ru_maxrss / 1024, time.monotonic() - start, os.waitstatus_to_exitcode(status)


failed = 0
with tempfile.TemporaryDirectory() as folder:
    tiny = os.path.join(folder, "tiny")
    with open(tiny, "wb") as file:
        file.write(word(2) + b"[]")
    base = peak(tiny)[0]
    for name, make in FILES.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.writelines(make())
        size = os.path.getsize(path) / 2**20
        found, seconds, code = peak(path)
        beyond = found - base - size
        verdict = "" if beyond <= ALLOWED and code == 65 else "  TOO MUCH"
        failed |= bool(verdict)
        print(f"memory: {name:20} {size:6.1f} MiB, {beyond:6.1f} MiB beyond its size, "
              f"{seconds:5.2f} s, exit {code}{verdict}", flush=True)
        os.unlink(path)
sys.exit(failed)
