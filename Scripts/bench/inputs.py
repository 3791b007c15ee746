"""What both sides of the comparison read: tokens, labels and an adapter to start from.

Needs nothing but Python and the qlora binary. Tokens are lines of `qlora preview --json`, the
adapter is PEFT's files; its B is not zero, so that every gradient counts.
"""

import array
import json
import pathlib
import random
import subprocess
import sys

from sitting import ROOT

MODEL = ROOT / "Models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
RECIPE = ROOT / "Recipes" / "smollm2-135m-qlora-tool-calls.json"
HIDDEN, KEY, WIDE, LAYERS = 576, 192, 1536, 30
MODULES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (KEY, HIDDEN),
    "self_attn.v_proj": (KEY, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (WIDE, HIDDEN),
    "mlp.up_proj": (WIDE, HIDDEN),
    "mlp.down_proj": (HIDDEN, WIDE),
}
UNTRAINED = -100
ALL = 1_000_000
QUICK_ROWS = 4


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def packed_lines(lines, sequences, length):
    """The text of the rows, one after the other, cut into sequences with every token labelled.

    Text, because on random tokens the rounding of bfloat16 moves the gradient's norm by more than
    the bound that both sides are held to.
    """
    text = [token for line in lines for token in line["tokens"]]
    for sequence in range(sequences):
        tokens = text[sequence * length : (sequence + 1) * length]
        yield {
            "step": 1, "microBatch": 0, "sequence": sequence, "tokens": tokens,
            "labels": [UNTRAINED, *tokens[1:]], "starts": [0],
        }


def tool_call_lines(batch, accumulation):
    """The tool-call rows of one epoch, packed as training packs them."""
    command = [
        ROOT / ".build" / "release" / "qlora", "preview", RECIPE, "--json", "-n", ALL,
        "--set", f"training.batchSize={batch}",
        "--set", f"training.gradientAccumulation={accumulation}",
    ]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows_of(line):
    """The packed rows of a line: pairs of tokens and labels."""
    bounds = [*line["starts"], len(line["tokens"])]
    return [(line["tokens"][a:b], line["labels"][a:b]) for a, b in zip(bounds, bounds[1:])]


def cut(line, rows):
    """The first rows of a line."""
    end = [*line["starts"], len(line["tokens"])][rows]
    return {**line, "tokens": line["tokens"][:end], "labels": line["labels"][:end],
            "starts": line["starts"][:rows]}


def sizes(lines, batches=(4, 8)):
    """Counts of rows and tokens, and how many a batch of rows has with padding."""
    rows = [row for line in lines for row in rows_of(line)]
    lengths = [len(tokens) for tokens, _ in rows]
    padded = {
        str(size): sum(
            max(lengths[i : i + size]) * len(lengths[i : i + size])
            for i in range(0, len(rows), size))
        for size in batches
    }
    labelled = sum(label != UNTRAINED for _, labels in rows for label in labels)
    return {
        "rows": len(rows), "tokens": sum(lengths), "labelledTokens": labelled,
        "paddedTokens": padded,
    }


def write_adapter(folder, rank=16):
    """A PEFT adapter on all linears: A as PEFT begins it, B of standard deviation 0.02."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(1)
    header, pieces, start = {"__metadata__": {"format": "pt"}}, [], 0
    for layer in range(LAYERS):
        for module, (out, width) in MODULES.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            halves = [("A", (rank, width), width**-0.5), ("B", (out, rank), 0.02 * 3**0.5)]
            for half, shape, bound in halves:
                count = shape[0] * shape[1]
                values = array.array(
                    "f", (bound * (2 * generator.random() - 1) for _ in range(count)))
                header[f"{name}.lora_{half}.weight"] = {
                    "dtype": "F32", "shape": shape, "data_offsets": [start, start + 4 * count]}
                pieces.append(values.tobytes())
                start += 4 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    weights = len(text).to_bytes(8, "little") + text + b"".join(pieces)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    config = {
        "base_model_name_or_path": None, "bias": "none", "lora_alpha": 2 * rank,
        "lora_dropout": 0.0, "peft_type": "LORA", "r": rank, "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder


def prepare(folder, quick):
    """Writes everything once. Returns paths and, of the tool calls, their counts."""
    folder = pathlib.Path(folder)
    done = folder / "inputs.json"
    if not done.exists():
        # In the full size two micro-batches of four sequences: enough rows to average padding.
        lines = tool_call_lines(1, 1) if quick else tool_call_lines(4, 2)
        packed = packed_lines(lines, *((1, 128) if quick else (4, 512)))
        write_lines(folder / "packed.jsonl", packed)
        sample = [line for line in lines if line["step"] == 1]
        if quick:
            sample = [cut(sample[0], QUICK_ROWS)]
        write_lines(folder / "toolCalls.jsonl", sample)
        write_adapter(folder / "adapter")
        counts = {"epoch": sizes(lines), "sample": sizes(sample)}
        done.write_text(json.dumps(counts))
    return json.loads(done.read_text())
