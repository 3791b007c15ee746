"""Writes a Llama of about a billion random weights in three bfloat16 shards, for measuring loading.

The shape is that of Llama 3.2 1B with an untied vocabulary of 49152. The tokenizer's files are
copied from a folder with no more tokens, so that all of `qlora generate` runs. Needs numpy only.
"""

import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

HIDDEN, LAYERS, HEADS, KV_HEADS, WIDE = 2048, 16, 32, 8, 8192
KEY = HIDDEN // HEADS * KV_HEADS
SHARDS = 3


def shapes(vocabulary):
    """Names and shapes in the order of a file."""
    yield "model.embed_tokens.weight", (vocabulary, HIDDEN)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (HIDDEN,)
        yield prefix + "self_attn.q_proj.weight", (HIDDEN, HIDDEN)
        yield prefix + "self_attn.k_proj.weight", (KEY, HIDDEN)
        yield prefix + "self_attn.v_proj.weight", (KEY, HIDDEN)
        yield prefix + "self_attn.o_proj.weight", (HIDDEN, HIDDEN)
        yield prefix + "post_attention_layernorm.weight", (HIDDEN,)
        yield prefix + "mlp.gate_proj.weight", (WIDE, HIDDEN)
        yield prefix + "mlp.up_proj.weight", (WIDE, HIDDEN)
        yield prefix + "mlp.down_proj.weight", (HIDDEN, WIDE)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (vocabulary, HIDDEN)


def values(random, shape):
    """Bits of bfloat16: ones for a norm, else a normal of standard deviation 0.02."""
    if len(shape) == 1:
        return np.full(shape, 0x3F80, dtype="<u2")
    normal = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
    return (normal.view("<u4") >> 16).astype("<u2")


def write_shard(path, tensors, random):
    header, start = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        end = start + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, shape in tensors:
            values(random, shape).tofile(file)
    return start


def write_config(folder, vocabulary):
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": WIDE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HIDDEN // HEADS,
        "vocab_size": vocabulary,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="is made; needs 2.3 GB")
    parser.add_argument("--tokenizer", type=pathlib.Path, help="a folder with tokenizer.json")
    parser.add_argument("--vocabulary", type=int, default=49152)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    tensors = list(shapes(options.vocabulary))
    weight_map, total = {}, 0
    for shard in range(SHARDS):
        part = tensors[shard * len(tensors) // SHARDS : (shard + 1) * len(tensors) // SHARDS]
        name = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        total += write_shard(options.folder / name, part, random)
        weight_map |= {tensor: name for tensor, _ in part}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (options.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    write_config(options.folder, options.vocabulary)
    if options.tokenizer:
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            if (options.tokenizer / name).exists():
                shutil.copy(options.tokenizer / name, options.folder)


if __name__ == "__main__":
    main()
