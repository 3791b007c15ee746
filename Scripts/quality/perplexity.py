"""What each way to hold the frozen weights costs in loss: SmolLM2 on texts that it has not seen.

Writes a folder per way, evaluates every text on each in float32, and prints a table in Markdown.
usage: perplexity.py [TOKENS-PER-TEXT]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "Models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
QLORA = os.environ.get("QLORA_BINARY", str(ROOT / ".build" / "release" / "qlora"))
# About four bytes are a token; a row is read as one sequence.
ROW_BYTES = 2000

WAYS = {
    "int8": ["--type", "int8"],
    "NF4": ["--type", "nf4", "--no-double-quant"],
    "NF4 + double": ["--type", "nf4"],
    "FP4": ["--type", "fp4", "--no-double-quant"],
}


def qlora(*arguments):
    done = subprocess.run(
        [QLORA, *map(str, arguments)], check=True, capture_output=True, text=True)
    return done.stdout


def joined(pattern):
    paths = sorted(ROOT.glob(pattern))
    return "\n\n".join(path.read_text(encoding="utf-8") for path in paths)


def dialogues():
    lines = (ROOT / "Datasets/tool-calls/test.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line)["messages"] for line in lines]
    return "\n\n".join("\n".join(f"{m['role']}: {m['content']}" for m in row) for row in rows)


def texts():
    """Prose, code in two languages, dialogues with JSON, and the wording of a licence."""
    return {
        "prose": joined("Docs/*.md"),
        "Swift": joined("Sources/QLoRATraining/*.swift"),
        "C": joined("Sources/CQLoRAKernels/reference/*.c"),
        "dialogues": dialogues(),
        "licence": (ROOT / "LICENSE").read_text(encoding="utf-8"),
    }


def write_rows(path, text, tokens):
    data = text.encode("utf-8")[: 4 * tokens]
    rows = [data[i : i + ROW_BYTES] for i in range(0, len(data), ROW_BYTES)]
    lines = [json.dumps({"text": row.decode("utf-8", errors="ignore")}) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_int4(plain, folder):
    """Linears rounded to 15 even steps per block of 64, in a plain folder: only a yardstick."""
    folder.mkdir()
    for path in plain.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
            continue
        tensors = load_file(path)
        for name, weight in tensors.items():
            if name.endswith("_proj.weight"):
                blocks = weight.reshape(-1, 64)
                scale = blocks.abs().amax(1, keepdim=True).clamp_min(1e-38) / 7
                tensors[name] = ((blocks / scale).round() * scale).reshape(weight.shape)
        save_file(tensors, folder / path.name, metadata={"format": "pt"})


def main():
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        folders = {"16-bit": work / "plain"}
        qlora("dequantize", MODEL, "--output", work / "plain", "--dtype", "fp32")
        for index, (way, flags) in enumerate(WAYS.items()):
            folders[way] = work / f"way-{index}"
            qlora("quantize", MODEL, "--output", folders[way], *flags)
        folders["int4"] = work / "int4"
        write_int4(work / "plain", folders["int4"])
        print("| text | tokens |", " | ".join(folders), "|")
        print("|---" * (2 + len(folders)) + "|")
        for kind, text in texts().items():
            data = work / "rows.jsonl"
            write_rows(data, text, tokens)
            losses = []
            for folder in folders.values():
                report = json.loads(qlora(
                    "eval", "--model", folder, "--data", data, "--format", "text",
                    "--compute-dtype", "float32", "--json"))
                losses.append(report["meanNegativeLogLikelihood"])
            cells = " | ".join(f"{loss:.4f}" for loss in losses)
            print(f"| {kind} | {report['labelledTokens']} | {cells} |", flush=True)


main()
