"""Makes Tests/Goldens/gguf: seeded random blocks of each type and what the reference decodes.

Needs PyPI gguf, numpy and safetensors.
usage: make_gguf_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""
import pathlib
import sys

import numpy
from gguf import GGMLQuantizationType as Type, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import save_file

TYPES = [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0,
         Type.Q4_K, Type.Q5_K, Type.Q6_K]
HALF_PLACES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
               Type.Q8_0: [0], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
ROWS, COLUMNS = 3, 512

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
FOLDER = FOLDER / "gguf"
FOLDER.mkdir(parents=True, exist_ok=True)

rng = numpy.random.default_rng(20261122)
writer = GGUFWriter(str(FOLDER / "blocks.gguf"), "llama")
writer.add_uint32("test.uint32", 7)
writer.add_string("test.string", "grüße")
writer.add_array("test.strings", ["a", "", "ß"])
writer.add_array("test.floats", [0.5, -2.0])
writer.add_bool("test.bool", True)
decoded = {}
for kind in TYPES:
    values = rng.standard_normal((ROWS, COLUMNS)).astype(numpy.float32)
    if kind == Type.F32:
        data = values
    elif kind == Type.F16:
        data = values.astype(numpy.float16)
        data[0, :4] = [0.0, -0.0, 6e-8, -3e-5]
    elif kind == Type.BF16:
        data = (values.view(numpy.uint32) >> 16).astype(numpy.uint16).view(numpy.uint8)
    else:
        elements, size = GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (ROWS * COLUMNS // elements, size), dtype=numpy.uint8)
        for place in HALF_PLACES[kind]:
            scale = rng.standard_normal(len(blocks)).astype(numpy.float16)
            scale[0] = 6e-8  # a subnormal scale
            blocks[:, place:place + 2] = scale.view(numpy.uint8).reshape(-1, 2)
        data = blocks.reshape(ROWS, -1)
    writer.add_tensor(kind.name, data, raw_dtype=kind)
    decoded[kind.name] = dequantize(data, kind).astype(numpy.float32).reshape(ROWS, COLUMNS)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(decoded, str(FOLDER / "blocks.decoded.safetensors"))
