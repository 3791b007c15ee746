"""Adapters of T5 that qlora trained, in PEFT on transformers' model; merged ones, alone.

On the golden T5 1.0 and 1.1, plain and in NF4: losses of validation rows and greedy answers.
"""

import json
import pathlib
import shutil
import tempfile

import torch
from bitsandbytes import functional
from common import (
    GOLDENS,
    check,
    evaluate,
    finish,
    qlora,
    qlora_json,
    require,
    write_recipe,
    write_rows,
)
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForSeq2SeqLM

WORDS = "one two three four five red green blue stone river".split()


def rows(count, seed):
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        length = 2 + int(torch.randint(0, 4, (1,), generator=generator))
        words = [WORDS[int(torch.randint(0, len(WORDS), (1,), generator=generator))]
                 for _ in range(length)]
        made.append({"prompt": "say " + " ".join(words), "completion": words[0]})
    return made


def quantize(model):
    """The linears of the blocks in NF4 and back, but for `wo`, which transformers keeps."""
    with torch.no_grad():
        for name, module in model.named_modules():
            is_kept = name == "lm_head" or name.endswith("wo")
            if isinstance(module, torch.nn.Linear) and not is_kept:
                packed, state = functional.quantize_4bit(
                    module.weight.contiguous().reshape(-1, 64), blocksize=64, quant_type="nf4",
                    compress_statistics=True)
                module.weight.copy_(
                    functional.dequantize_4bit(packed, state).reshape(module.weight.shape))


def load(folder):
    return AutoModelForSeq2SeqLM.from_pretrained(
        str(folder), dtype=torch.float32, attn_implementation="eager").eval()


def mean_loss(model, tokenizer, data):
    total = count = 0
    for row in data:
        read, written = (torch.tensor([tokenizer.encode(row[key]).ids])
                         for key in ("prompt", "completion"))
        with torch.no_grad():
            logits = model(input_ids=read, labels=written, use_cache=False).logits[0].double()
        total += torch.nn.functional.cross_entropy(logits, written[0], reduction="sum").item()
        count += written.numel()
    return total / count


def answers(model, tokenizer, data):
    found = []
    for row in data:
        read = torch.tensor([tokenizer.encode(row["prompt"]).ids])
        tokens = model.generate(
            input_ids=read, max_new_tokens=8, do_sample=False, num_beams=1, use_cache=False)
        found.append(tokenizer.decode(tokens[0].tolist(), skip_special_tokens=True).strip())
    return found


def round_trip(work, kind, quantization):
    name = f"{kind} on {quantization}"
    base, run, test = work / kind, work / f"{kind}-{quantization}", work / "test.jsonl"
    recipe = write_recipe(
        work / f"{kind}-{quantization}.json", base, work / "train.jsonl", "prompt-completion",
        model={"quantization": {"type": quantization}},
        data={"packing": True, "maxTokens": 48},
        training={"steps": 80, "batchSize": 2, "optimizer": {"learningRate": 2e-2}, "seed": 5})
    qlora("train", recipe, "--output", run)
    data = [json.loads(line) for line in test.read_text().splitlines()]
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    ours = evaluate(base, test, "prompt-completion", "--adapter", run / "adapter")
    bare = evaluate(base, test, "prompt-completion", "--quantization", quantization)
    gain = bare["meanNegativeLogLikelihood"] - ours["meanNegativeLogLikelihood"]
    check(f"{name}: lost against the bare model", -gain, -0.5)
    model = load(base)
    if quantization == "nf4":
        quantize(model)
    check(f"{name}: bare, |loss - transformers'|",
          abs(bare["meanNegativeLogLikelihood"] - mean_loss(model, tokenizer, data)), 1e-4)
    model = PeftModel.from_pretrained(model, str(run / "adapter")).eval()
    require(f"{name}: task type", model.peft_config["default"].task_type == "SEQ_2_SEQ_LM")
    mean = mean_loss(model, tokenizer, data)
    check(f"{name}: |loss - PEFT's|", abs(ours["meanNegativeLogLikelihood"] - mean), 1e-4)
    for row, expected in zip(data[:6], answers(model, tokenizer, data[:6])):
        found = qlora_json(
            "generate", "--model", base, "--adapter", run / "adapter", "--prompt", row["prompt"],
            "--max-tokens", "8", "--json")["text"].strip()
        require(f"{name}: {found!r} is PEFT's answer", found == expected)
    saved = work / f"{kind}-{quantization}-saved"
    model.save_pretrained(str(saved))
    one, other = (load_file(folder / "adapter_model.safetensors")
                  for folder in (run / "adapter", saved))
    require(f"{name}: PEFT saves what it loaded",
            set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one))
    merged = work / f"{kind}-{quantization}-merged"
    qlora("merge", "--model", base, "--adapter", run / "adapter", "--output", merged,
          "--dtype", "fp32", "--base", "decoded")
    check(f"{name}: merged, |loss - PEFT's|",
          abs(mean_loss(load(merged), tokenizer, data) - mean), 1e-4)


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    write_rows(work / "train.jsonl", rows(120, seed=1))
    write_rows(work / "test.jsonl", rows(30, seed=2))
    for kind in ("t5", "t5-gated"):
        shutil.copytree(GOLDENS / "seq2seq" / kind, work / kind)
        for quantization in ("none", "nf4"):
            round_trip(work, kind, quantization)
finish()
