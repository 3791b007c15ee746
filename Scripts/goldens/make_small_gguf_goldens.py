"""Makes Tests/Goldens/gguf/small-*.gguf with PyPI gguf: five little files whose every byte the
tests damage."""
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from gguf.constants import GGUFValueType
from gguf.quants import quantize

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "Tests/Goldens") / "gguf"


def write(name, fill, architecture="test"):
    writer = GGUFWriter(folder / f"small-{name}.gguf", architecture)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def ramp(*shape):
    return (np.arange(np.prod(shape), dtype=np.float32) / 7 - 3).reshape(shape)


def values(writer):
    for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        getattr(writer, f"add_{kind}")(f"a.{kind}", 100)
    writer.add_float32("a.float32", 1.5)
    writer.add_float64("a.float64", -2.5)
    writer.add_bool("a.bool", True)
    writer.add_string("a.string", "grüße")
    writer.add_tensor("t", ramp(3))


def arrays(writer):
    writer.add_array("a.strings", ["a", "", "é"])
    writer.add_array("a.integers", [1, -2, 3])
    writer.add_array("a.floats", [1.0, 2.5])
    writer.add_array("a.bools", [True, False])
    writer.add_key_value("a.bytes", bytes(range(5)), GGUFValueType.ARRAY, GGUFValueType.UINT8)


def alignment(writer):
    writer.add_custom_alignment(8)
    writer.add_tensor("a", ramp(3))
    writer.add_tensor("b", ramp(2, 2).astype(np.float16))
    writer.add_tensor("empty", ramp(0))


def blocks(writer):
    for kind in (Type.Q4_0, Type.Q5_1, Type.Q8_0, Type.BF16):
        writer.add_tensor(kind.name, quantize(ramp(1, 32), kind), raw_dtype=kind)


def llama(writer):
    writer.add_context_length(8)
    writer.add_embedding_length(4)
    writer.add_block_count(1)
    writer.add_feed_forward_length(4)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["a", "b", "ab"])
    writer.add_token_types([1, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(2)
    writer.add_tensor("token_embd.weight", ramp(3, 4))
    writer.add_tensor("blk.0.attn_q.weight", ramp(4, 4).astype(np.float16))
    writer.add_tensor("blk.0.attn_k.weight", ramp(2, 4).astype(np.float16))


for name, fill in (("values", values), ("arrays", arrays), ("alignment", alignment),
                   ("blocks", blocks)):
    write(name, fill)
write("llama", llama, "llama")
