"""Thousands of generated safetensors and GGUF files: what the reference libraries read in them,
this project reads too, name by name and byte by byte; what it refuses and they accept is counted
by its error code, and each of these codes is a row of "Stricter" in Docs/Formats."""

import collections
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile

import numpy
from common import ROOT, finish, require
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors import SafetensorError, TensorSpec, deserialize, serialize

VALID, DAMAGED, GGUF = 4000, 3000, 3000
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
         "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
SERIAL = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
          "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64",
          "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool"}
TYPES = [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0,
         Type.Q4_K, Type.Q5_K, Type.Q6_K]
NAMES = ["a", "model.layers.0.w", "é", "e\u0301", "with space", "\"quoted\"", "中文", "🙂", "a/b",
         "x" * 60, ".", "__meta__", "tab?", "0"]
rng = random.Random(20261126)


def names(count):
    return rng.sample(NAMES + [f"t{i}.weight" for i in range(20)], count)


def make_safetensors():
    tensors, kept = {}, []
    for name in names(rng.randint(0, 6)):
        kind = rng.choice(list(SIZES))
        shape = [rng.choice([0, 1, 1, 2, 3, 5]) for _ in range(rng.randint(0, 4))]
        count = int(numpy.prod(shape, dtype=int)) * SIZES[kind]
        # The library takes an address, so the bytes must live until it has written them.
        kept.append(numpy.frombuffer(rng.randbytes(count + 1), dtype=numpy.uint8))
        tensors[name] = TensorSpec(
            dtype=SERIAL[kind], shape=shape, data_ptr=kept[-1].ctypes.data, data_len=count)
    metadata = {rng.choice(NAMES): rng.choice(NAMES)} if rng.random() < 0.3 else None
    return bytes(serialize(tensors, metadata))


def damage(content):
    """A file with one thing wrong in its header, sometimes nothing."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8:8 + length].decode(), content[8 + length:]
    change = rng.choice([
        lambda h: re.sub(r"\d+", lambda m: str(int(m[0]) + rng.choice([-1, 0, 1])), h, count=3),
        lambda h: h.replace(",", ", ", rng.randint(1, 3)), lambda h: " " + h,
        lambda h: h.rstrip() + rng.choice(["\n", "\t", "x", "{}", "      "]),
        lambda h: h.replace("F32", rng.choice(["F8_E4M3", "C64", "F33", "I32"])),
        lambda h: h.replace("\"shape\":[", "\"shape\":[1,"),
        lambda h: h.replace("\"shape\"", "\"extra\":1,\"shape\"", 1),
        lambda h: h.replace("{", "{\"__metadata__\":" + rng.choice(["null", "{}", "[]"]) + ",", 1),
        lambda h: re.sub(r"\[(\d+)", r"[\1e0", h, count=1),
        lambda h: re.sub(r"\[(\d+)", r"[\1.0", h, count=1),
        lambda h: h.replace("\"a\"", "\"a\\u0000\""),
        lambda h: h[:rng.randint(1, len(h))],
        lambda h: h.replace(":", ":" + rng.choice(["", "[", "null,"]), 1),
    ])
    text = change(header).encode()
    if rng.random() < 0.2:
        data = data[:-1] if rng.random() < 0.5 else data + b"\0"
    return len(text).to_bytes(8, "little") + text + data


def read_safetensors(content):
    """What the reference sees; None where it refuses."""
    try:
        return [{"name": name, "dtype": entry["dtype"], "shape": entry["shape"],
                 "bytes": bytes(entry["data"]).hex()} for name, entry in deserialize(content)]
    except (SafetensorError, ValueError, OverflowError):
        return None


def make_gguf(path):
    writer = GGUFWriter(str(path), rng.choice(["llama", "test"]))
    if rng.random() < 0.5:
        writer.add_custom_alignment(rng.choice([8, 16, 32, 64, 128]))
    for index in range(rng.randint(0, 5)):
        rng.choice([
            lambda k: writer.add_uint8(k, rng.randrange(256)),
            lambda k: writer.add_int64(k, rng.randrange(-2**63, 2**63)),
            lambda k: writer.add_uint64(k, rng.randrange(2**64)),
            lambda k: writer.add_float32(k, rng.random()),
            lambda k: writer.add_bool(k, rng.random() < 0.5),
            lambda k: writer.add_string(k, rng.choice(NAMES)),
            lambda k: writer.add_array(k, [rng.choice(NAMES) for _ in range(rng.randint(1, 9))]),
            lambda k: writer.add_array(k, [rng.randrange(-9, 9) for _ in range(3)]),
        ])(f"key.{index}")
    for name in names(rng.randint(1, 5)):
        kind = rng.choice(TYPES)
        block, size = GGML_QUANT_SIZES[kind]
        rows = rng.randint(1, 3)
        raw = numpy.frombuffer(rng.randbytes(rows * rng.randint(1, 2) * size), dtype=numpy.uint8)
        writer.add_tensor(name, raw.reshape(rows, -1), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    seen = []
    for tensor in GGUFReader(str(path)).tensors:
        with numpy.errstate(all="ignore"):
            floats = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        seen.append({"name": tensor.name, "dtype": tensor.tensor_type.name,
                     "shape": [int(d) for d in reversed(tensor.shape)],
                     "bytes": floats.tobytes().hex()})
    return seen


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    for index in range(VALID + DAMAGED):
        content = make_safetensors()
        if index >= VALID:
            content = damage(content)
        (work / f"{index:05}.safetensors").write_bytes(content)
        seen = read_safetensors(content)
        if index < VALID and seen is None:
            require(f"formats: file {index} of the library is valid", False)
        (work / f"{index:05}.json").write_text(json.dumps(seen))
    for index in range(GGUF):
        seen = make_gguf(work / f"g{index:05}.gguf")
        (work / f"g{index:05}.json").write_text(json.dumps(seen))
    result = subprocess.run(
        ["swift", "test", "-c", "release", "--disable-testable-imports", "--filter",
         "FormatDifferentialTests"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "QLORA_DIFFERENTIAL": folder})
    counts = collections.Counter(re.findall(r"^differential: (.*)$", result.stdout, re.M))
    for line, count in sorted(counts.items()):
        print(f"formats: {line}" + (f" × {count}" if count > 1 else ""))
    for line in [line for line in result.stdout.splitlines() if "recorded an issue" in line][:5]:
        print(f"formats: {line[:300]}")
    require("formats: same names, types, shapes and bytes", result.returncode == 0 and counts)
finish()
