"""PyTorch's training step on SmolLM2, for comparison: transformers, PEFT, bitsandbytes on a CPU.

NF4 with double quantization, float32 compute, rank 16 on all linears, 4 rows of 512 random tokens,
every token labelled. Prints one line of JSON on stdout: the best of the timed steps, and the peak
memory of the process. The libraries' own progress goes to stderr. Scripts/float32_model.py writes
the weights beforehand.
"""

import argparse
import json
import pathlib
import resource
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "Models" / "SmolLM2-135M-Instruct-float32"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compute", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--checkpointing", action="store_true")
    return parser.parse_args()


def load(options):
    compute = getattr(torch, options.compute)
    base = AutoModelForCausalLM.from_pretrained(
        str(options.model),
        dtype=compute,
        device_map="cpu",
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        ),
    )
    base.config.use_cache = False
    base.enable_input_require_grads()
    if options.checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    config = LoraConfig(
        r=options.rank,
        lora_alpha=2 * options.rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, config).train()


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = load(options)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    ids = torch.randint(0, model.config.vocab_size, (options.batch, options.tokens))
    best = None
    for _ in range(options.steps):
        started = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0).item()
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - started
        if not (norm > 0 and torch.isfinite(loss)):
            raise SystemExit(f"no training happened: loss {loss.item()}, gradient norm {norm}")
        if best is None or seconds < best["stepSeconds"]:
            best = {"stepSeconds": seconds, "loss": loss.item(), "gradientNorm": norm}
    tokens = options.batch * options.tokens
    result = {
        "peer": "transformers + PEFT + bitsandbytes",
        "computeDType": options.compute,
        "checkpointing": options.checkpointing,
        "threads": options.threads,
        "tokens": tokens,
        "tokensPerSecond": tokens / best["stepSeconds"],
        "peakMemoryBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **best,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
