"""A folder merged from a GGUF base, used by transformers as it is: ids, chats, weights, answers.

The tokenizer's ids are read off `qlora preview`, once from the GGUF file and once from the folder.
"""

import json
import pathlib
import random
import tempfile

import torch
import transformers
from common import (
    GOLDENS,
    MODEL,
    check,
    finish,
    qlora,
    qlora_json,
    relative,
    require,
    text_rows,
    write_recipe,
    write_rows,
)
from safetensors.torch import load_file, save_file
from text_parity import random_string
from transformers import AutoModelForCausalLM, AutoTokenizer

transformers.utils.logging.disable_progress_bar()
GOLDEN = json.loads((GOLDENS / "smollm2.json").read_text(encoding="utf-8"))
PROMPTS = ["What is the capital of France?", "Name three primes.", "Écris un haïku 🙂"]
CHATS = [
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " Hello!\n"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1234 + 5678?\n\n"},
        {"role": "assistant", "content": "6912"},
        {"role": "user", "content": "  東京 🙂 "},
        {"role": "assistant", "content": "naïve\tcafé"},
    ],
]


def make_adapter(work):
    """A step of training, then noise in B: what is trained so shortly would change no answer."""
    write_rows(work / "rows.jsonl", text_rows(4, seed=1))
    recipe = write_recipe(
        work / "recipe.json", MODEL, work / "rows.jsonl", training={"steps": 1, "batchSize": 1}
    )
    qlora("train", recipe, "--set", "model.quantization.type=nf4", "--output", work / "run")
    path = work / "run" / "adapter" / "adapter_model.safetensors"
    generator = torch.Generator().manual_seed(1)
    tensors = {
        name: torch.randn(tensor.shape, generator=generator) * 0.01 if "lora_B" in name else tensor
        for name, tensor in load_file(path).items()
    }
    save_file(tensors, path, metadata={"format": "pt"})
    return work / "run" / "adapter", tensors


def rows_as_ids(work, model, rows, data_format):
    """The tokens of each row as qlora sees them, one row a sequence."""
    write_rows(work / "asked.jsonl", rows)
    recipe = write_recipe(
        work / "asked.json", model, work / "asked.jsonl", training={"steps": len(rows)},
        data={"train": [{"path": str(work / "asked.jsonl"), "format": data_format}],
              "maxTokens": 4096})
    lines = qlora("preview", recipe, "--json", "-n", len(rows)).splitlines()
    return [json.loads(line)["tokens"] for line in lines]


def compare_tokenizers(work, folder, tokenizer):
    texts = [text for text in GOLDEN["texts"] if text]
    golden = [ids for text, ids in zip(GOLDEN["texts"], GOLDEN["ids"]) if text]
    require(
        "merged: AutoTokenizer gives the golden ids",
        [tokenizer.encode(text) for text in texts] == golden)
    generator = random.Random(11)
    texts += [random_string(generator) for _ in range(2000)]
    end = tokenizer.eos_token_id
    expected = [tokenizer.encode(text) for text in texts]
    # A row of text ends with the end token, once.
    expected = [ids if ids[-1:] == [end] else ids + [end] for ids in expected]
    rows = [{"text": text} for text in texts]
    for name, model in (("GGUF", MODEL), ("folder", folder)):
        found = rows_as_ids(work, model, rows, "text")
        wrong = [text for text, a, b in zip(texts, expected, found, strict=True) if a != b]
        for text in wrong[:3]:
            print("  ", ascii(text))
        check(f"merged: of {len(texts)} texts with other ids, {name}", len(wrong), 0)
        found = rows_as_ids(work, model, [{"messages": chat} for chat in CHATS], "messages")
        chats = [tokenizer.apply_chat_template(chat, return_dict=False) for chat in CHATS]
        require(f"merged: chats as apply_chat_template has them, {name}", found == chats)


def compare_answers(name, folder, tokenizer, *how):
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    for prompt in PROMPTS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True,
            return_tensors="pt", return_dict=True)
        with torch.no_grad():
            output = model.generate(**ids, max_new_tokens=24, do_sample=False)
        answer = tokenizer.decode(output[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)
        found = qlora_json(
            "generate", *how, "--compute-dtype", "float32", "--prompt", prompt,
            "--max-tokens", 24, "--json")["text"]
        require(f"merged: answer to {ascii(prompt)}, {name}", found == answer)
        if found != answer:
            print("  ", ascii(found), ascii(answer))


def compare_weights(adapter, tensors, work):
    """fp32 against PEFT's formula on the dequantized base, the others against fp32 rounded."""
    zero = work / "zero"
    zero.mkdir()
    for file in adapter.iterdir():
        (zero / file.name).write_bytes(file.read_bytes())
    save_file({k: torch.zeros_like(v) if "lora_B" in k else v for k, v in tensors.items()},
              zero / "adapter_model.safetensors", metadata={"format": "pt"})
    qlora("merge", "--adapter", zero, "--output", work / "plain", "--dtype", "fp32")
    plain = load_file(work / "plain" / "model.safetensors")
    merged = load_file(work / "fp32" / "model.safetensors")
    config = json.loads((adapter / "adapter_config.json").read_text())
    worst = 0.0
    for name, weight in plain.items():
        prefix = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        if prefix + "A.weight" in tensors:
            change = tensors[prefix + "B.weight"] @ tensors[prefix + "A.weight"]
            weight = weight + change * (config["lora_alpha"] / config["r"])
        worst = max(worst, relative(merged[name], weight))
    check("merged: worst relative weight", worst, 1e-6)
    changed = sum(not torch.equal(merged[name], weight) for name, weight in plain.items())
    check("merged: |changed tensors - adapted ones|", abs(changed - len(tensors) // 2), 0)
    for word, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        qlora("merge", "--adapter", adapter, "--output", work / word, "--dtype", word)
        found = load_file(work / word / "model.safetensors")
        require(f"merged: {word} is fp32 rounded", found.keys() == merged.keys() and all(
            torch.equal(found[name], tensor.to(dtype)) for name, tensor in merged.items()))


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    adapter, tensors = make_adapter(work)
    qlora("merge", "--adapter", adapter, "--output", work / "fp32", "--dtype", "fp32")
    tokenizer = AutoTokenizer.from_pretrained(str(work / "fp32"))
    compare_tokenizers(work, work / "fp32", tokenizer)
    compare_answers("original base", work / "fp32", tokenizer,
                    "--model", MODEL, "--adapter", adapter, "--quantization", "none")
    compare_answers("folder", work / "fp32", tokenizer, "--model", work / "fp32")
    qlora("merge", "--adapter", adapter, "--output", work / "nf4", "--dtype", "fp32",
          "--base", "quantized")
    compare_answers("quantized base", work / "nf4", tokenizer,
                    "--model", MODEL, "--adapter", adapter)
    compare_weights(adapter, tensors, work)
finish()
