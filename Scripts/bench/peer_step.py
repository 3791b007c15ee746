"""PyTorch's training step on SmolLM2, for comparison: transformers, PEFT, bitsandbytes on a CPU.

NF4 with double quantization and a PEFT adapter; the tokens are lines of `qlora preview --json`,
whose rows are put into batches and padded to the longest of each. Gradients of all batches are
accumulated into one optimizer step, at learning rate 0, so that every step can be held against the
oracle: --oracle takes that step in float32 on the dequantized weights. Prints one line of JSON.
"""

import argparse
import importlib.metadata
import json
import pathlib
import time


def resident(key):
    """VmHWM or VmRSS of this process, in bytes."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(text.split(key + ":")[1].split()[0]) * 1024


import bitsandbytes.functional as quantizer  # noqa: E402
import torch  # noqa: E402
from inputs import UNTRAINED, rows_of  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM, BitsAndBytesConfig  # noqa: E402

IMPORTED = resident("VmRSS")
FOLDER = pathlib.Path(__file__).resolve().parents[2] / "Models" / "SmolLM2-135M-Instruct-float32"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--batches", type=pathlib.Path, required=True)
    parser.add_argument("--adapter", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=4, help="rows of a batch")
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compute", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--autocast", action="store_true", help="as the Trainer's bf16=True")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--oracle", action="store_true")
    return parser.parse_args()


def batches(path, size):
    """Token ids, labels and mask of each batch; no mask where nothing is padded."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for line in lines for row in rows_of(line)]
    for group in (rows[i : i + size] for i in range(0, len(rows), size)):
        longest = max(len(tokens) for tokens, _ in group)
        fill = [longest - len(tokens) for tokens, _ in group]
        padded = any(fill)
        ids = torch.tensor([t + [0] * n for (t, _), n in zip(group, fill)])
        labels = torch.tensor([x + [UNTRAINED] * n for (_, x), n in zip(group, fill)])
        mask = torch.tensor([[1] * (longest - n) + [0] * n for n in fill]) if padded else None
        yield ids, labels, mask


def dequantize_linears(model):
    """Replaces the weights of the blocks' linears by what NF4 makes of them."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            codes, state = quantizer.quantize_4bit(
                module.weight.data, blocksize=64, quant_type="nf4", compress_statistics=True)
            module.weight.data = quantizer.dequantize_4bit(codes, state).float()


def load(options):
    compute = getattr(torch, options.compute)
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    base = AutoModelForCausalLM.from_pretrained(
        str(options.model), dtype=compute, device_map="cpu",
        quantization_config=None if options.oracle else quantization)
    if options.oracle:
        dequantize_linears(base)
    base.config.use_cache = False
    base.enable_input_require_grads()
    if options.checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    return PeftModel.from_pretrained(base, str(options.adapter), is_trainable=True).train()


def take_steps(model, work, options):
    """Seconds, loss and gradient norm of every step."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0)
    labelled = sum((labels != UNTRAINED).sum() for _, labels, _ in work)
    for _ in range(options.warmup + options.steps):
        started = time.perf_counter()
        total = 0.0
        for ids, labels, mask in work:
            with torch.autocast("cpu", torch.bfloat16, enabled=options.autocast):
                loss = model(
                    input_ids=ids, attention_mask=mask, labels=labels,
                    num_items_in_batch=labelled).loss
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0).item()
        optimizer.step()
        optimizer.zero_grad()
        yield time.perf_counter() - started, total, norm


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    work = list(batches(options.batches, options.rows))
    model = load(options)
    loaded = resident("VmRSS")
    steps = list(take_steps(model, work, options))[options.warmup :]
    names = "torch transformers peft bitsandbytes".split()
    print(json.dumps({
        "computeDType": options.compute,
        "checkpointing": options.checkpointing,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "tokens": sum(ids.numel() if m is None else int(m.sum()) for ids, _, m in work),
        "paddedTokens": sum(ids.numel() for ids, _, _ in work),
        "labelledTokens": int(sum((labels != UNTRAINED).sum() for _, labels, _ in work)),
        "stepSeconds": [seconds for seconds, _, _ in steps],
        "losses": [loss for _, loss, _ in steps],
        "gradientNorms": [norm for _, _, norm in steps],
        "importedMemoryBytes": IMPORTED,
        "loadedMemoryBytes": loaded,
        "peakMemoryBytes": resident("VmHWM"),
        "versions": {name: importlib.metadata.version(name) for name in names},
    }))


if __name__ == "__main__":
    main()
