"""Makes Tests/Goldens/gguf/encoded.safetensors: floats and the bytes that PyPI gguf makes of them.

usage: make_gguf_encoded_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize
from safetensors.numpy import save_file

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "Tests/Goldens") / "gguf"

rng = np.random.default_rng(20261126)
values = rng.standard_normal((24, 64)).astype(np.float32)
values *= np.exp2(rng.integers(-20, 12, (24, 1))).astype(np.float32)
values[0] = 0
values[1, ::2] = -0.0
# A scale of one, and halves on both sides: they are rounded away from zero.
values[2] = np.arange(64) - 31.5
values[2, [0, 32]] = 127
values[3] = np.nextafter(values[2], np.float32(0))
values[3, [0, 32]] = -127
# Scales that are subnormal halves, and that are none.
values[4] *= np.float32(1e-5) / np.abs(values[4]).max()
values[5] *= np.float32(1e-9) / np.abs(values[5]).max()
# Ties of both 16-bit types.
bits = values[6].view(np.uint32)
bits[:] = (bits & 0xFFFF0000) | 0x8000
values[7] = (values[7].astype(np.float16).view(np.uint16) | 1).view(np.float16).astype(np.float32)
values[7] *= np.float32(1 + 2.0**-12)

tensors = {"values": values}
for kind in (Type.F16, Type.BF16, Type.Q8_0):
    tensors[kind.name] = quantize(values, kind).view(np.uint8).reshape(len(values), -1)
save_file(tensors, str(folder / "encoded.safetensors"))
