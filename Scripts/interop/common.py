"""What the interop checks share: the qlora binary, its files, a tiny chat model, comparing numbers.

Nothing here knows what is being checked or imports PyTorch. Every check prints one line for each
number that it compares and leaves with status 1 where one is out of bounds.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "Tests" / "Goldens"
MODEL = ROOT / "Models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
FLOAT32 = ROOT / "Models" / "SmolLM2-135M-Instruct-float32"
BINARY = os.environ.get("QLORA_BINARY", str(ROOT / ".build" / "release" / "qlora"))
UNTRAINED = -100

_failures = 0


def run(*arguments):
    """Runs the binary and returns what `subprocess.run` does."""
    command = [BINARY, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def qlora(*arguments):
    """The binary's stdout; a failure shows its stderr and ends the check."""
    result = run(*arguments)
    if result.returncode != 0:
        command = " ".join(result.args)
        sys.exit(f"{command}\nexit {result.returncode}\n{result.stderr}")
    return result.stdout


def qlora_json(*arguments):
    """The last JSON object that the binary prints."""
    return json.loads(qlora(*arguments).strip().splitlines()[-1])


def evaluate(model, data, form, *more):
    """`qlora eval` of a file's loss, in float32 unless told."""
    return qlora_json(
        "eval", "--model", model, "--data", data, "--format", form, "--metric", "loss", "--json",
        *more,
    )


def metrics(run_folder):
    """The lines of the optimizer steps in a run's metrics."""
    lines = (pathlib.Path(run_folder) / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "loss" in line]


def preview(recipe, count, *more):
    """The first `count` sequences of a recipe, checked against what `preview` promises."""
    output = qlora("preview", recipe, "-n", count, "--json", *more)
    lines = [json.loads(line) for line in output.splitlines()]
    keys = ["step", "microBatch", "sequence", "tokens", "labels", "starts"]
    well_formed = len(lines) == count
    for line in lines:
        tokens, labels, starts = line["tokens"], line["labels"], line["starts"]
        well_formed &= list(line) == keys and starts[0] == 0 and starts == sorted(set(starts))
        well_formed &= len(labels) == len(tokens) > starts[-1]
        well_formed &= all(label in (UNTRAINED, t) for label, t in zip(labels, tokens))
        well_formed &= all(labels[start] == UNTRAINED for start in starts)
    if not well_formed:
        require(f"preview: {count} sequences as promised", False)
    return lines


def rows_of(line):
    """The packed rows of a previewed sequence: pairs of tokens and labels."""
    bounds = [*line["starts"], len(line["tokens"])]
    return [(line["tokens"][a:b], line["labels"][a:b]) for a, b in zip(bounds, bounds[1:])]


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


CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTROL_TOKENS = ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def make_tiny_chat_model(folder):
    """Copies the golden tiny llama and gives it a byte-level tokenizer of its 320 ids.

    Ids 0…255 are the bytes, 256…261 the control tokens, the rest is unused.
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
    """Numbered rows of plain text; their labels need no template: every token but the first."""
    generator = random.Random(seed)
    words = "red green blue one two three river stone cloud naïve café tin".split()
    return [
        {"text": " ".join(generator.choices(words, k=generator.randint(5, 10))), "number": f"{i}"}
        for i in range(count)
    ]


def encoded_text(tokenizer, row, end="<|end|>"):
    """Tokens and labels of a `text` row as the contract has them: the text, then the end."""
    tokens = tokenizer.encode(row["text"]).ids + [tokenizer.token_to_id(end)]
    return tokens, [UNTRAINED, *tokens[1:]]


def write_recipe(path, base, train, form="text", **sections):
    """A recipe over rows of one file; sections replace or join the tiny defaults."""
    recipe = {
        "model": {"path": str(base), "quantization": {"type": "none"}, "computeDType": "float32"},
        "adapter": {"rank": 4, "alpha": 8, "targets": "all-linear"},
        "data": {
            "train": [{"path": str(train), "format": form}],
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
