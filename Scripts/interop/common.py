"""What the interop checks share: running the qlora binary, a tiny chat model, comparing numbers.

Nothing here knows what is being checked. Every check prints one line per number that it compares
and leaves with status 1 when one is out of bounds.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "Tests" / "Goldens"
MODEL = ROOT / "Models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
BINARY = os.environ.get("QLORA_BINARY", str(ROOT / ".build" / "release" / "qlora"))

torch.set_num_threads(2)

_failures = 0


def qlora(*arguments):
    """Runs the binary and returns its stdout; a failure shows its stderr and ends the check."""
    command = [BINARY, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\nexit {result.returncode}\n{result.stderr}")
    return result.stdout


def qlora_json(*arguments):
    """The last JSON object that the binary prints."""
    return json.loads(qlora(*arguments).strip().splitlines()[-1])


def check(name, found, bound):
    """Prints one comparison; `found` is a difference that must not exceed `bound`."""
    global _failures
    ok = found <= bound  # False for NaN, too.
    _failures += not ok
    print(f"{name}: {found:.3g} (at most {bound:g}) {'ok' if ok else 'TOO LARGE'}", flush=True)


def require(name, condition):
    """Prints one yes-or-no finding."""
    global _failures
    _failures += not condition
    print(f"{name}: {'ok' if condition else 'WRONG'}", flush=True)


def finish():
    sys.exit(1 if _failures else 0)


def relative(found, expected):
    """The norm of the difference over the norm of what is expected, in double precision."""
    found, expected = found.double(), expected.double()
    return ((found - expected).norm() / expected.norm().clamp_min(1e-30)).item()


CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTROL_TOKENS = ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def make_tiny_chat_model(folder):
    """Copies the golden tiny llama and gives it a byte-level tokenizer of its 320 ids.

    Ids 0…255 are the bytes, 256…261 the control tokens, the rest are merges that never win.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(GOLDENS / "tiny-llama" / name, folder / name)
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in CONTROL_TOKENS]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|begin|>",
            "eos_token": "<|end|>",
            "pad_token": "<|pad|>",
            "add_bos_token": False,
            "model_max_length": 256,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    config = json.loads((folder / "config.json").read_text())
    ids = {t: tokenizer.token_to_id(t) for t in CONTROL_TOKENS}
    config |= {"bos_token_id": ids["<|begin|>"], "eos_token_id": ids["<|end|>"]}
    write_json(folder / "config.json", config)
    return tokenizer


def write_json(path, value):
    pathlib.Path(path).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_rows(path, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    pathlib.Path(path).write_text(text, encoding="utf-8")


def text_rows(count, seed):
    """Rows of plain text, whose labels need no template: every token but the first."""
    generator = torch.Generator().manual_seed(seed)
    words = "red green blue one two three river stone cloud naïve café tin".split()
    rows = []
    for _ in range(count):
        picks = torch.randint(0, len(words), (8,), generator=generator).tolist()
        rows.append({"text": " ".join(words[p] for p in picks)})
    return rows


def text_batch(tokenizer, rows, end="<|end|>"):
    """Padded ids, labels and mask of `text` rows as the contract has them: tokens, then end."""
    encoded = [tokenizer.encode(r["text"]).ids + [tokenizer.token_to_id(end)] for r in rows]
    longest = max(map(len, encoded))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(encoded):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, 1 : len(row)] = torch.tensor(row[1:])
        mask[i, : len(row)] = 1
    return ids, labels, mask


def load_causal_model(folder, nf4=False):
    """A transformers model in float32, optionally with an NF4 + double quantization base."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    arguments = {}
    if nf4:
        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    return AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float32, device_map="cpu", attn_implementation="eager", **arguments
    )


def mean_loss(model, ids, labels, mask):
    """The mean over all labelled tokens of a batch, without gradients."""
    model.eval()
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, labels=labels).loss.item()


def write_recipe(path, model, train, **sections):
    """A recipe over `text` rows; sections replace or join the tiny defaults."""
    recipe = {
        "model": {"path": str(model), "quantization": {"type": "none"}, "computeDType": "float32"},
        "adapter": {"rank": 4, "alpha": 8, "targets": "all-linear"},
        "data": {
            "train": [{"path": str(train), "format": "text"}],
            "maxTokens": 128,
            "packing": False,
            "shuffle": False,
        },
        "training": {},
    }
    for name, section in sections.items():
        recipe[name] = {**recipe.get(name, {}), **section}
    write_json(path, recipe)
    return path
