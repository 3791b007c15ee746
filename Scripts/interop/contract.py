"""What other programs rely on in the command line: exit codes, keys of JSON, nothing half-written.

The tiny Llama suffices; no reference library is asked.
"""

import json
import math
import pathlib
import shutil
import tempfile

from common import (
    GOLDENS,
    MODEL,
    check,
    finish,
    make_tiny_chat_model,
    metrics,
    qlora,
    qlora_json,
    require,
    run,
    text_rows,
    write_recipe,
    write_rows,
)

EVAL_KEYS = ["meanNegativeLogLikelihood", "perplexity", "labelledTokens", "rows", "exactMatch"]
STEP_KEYS = {
    "step", "loss", "learningRate", "gradientNorm", "tokens", "labelledTokens", "tokensPerSecond",
    "peakMemoryBytes", "elapsedSeconds",
}


def snapshot(folder):
    """Every file below a folder with its content, so that anything written shows."""
    return {str(f): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def ends(work, name, code, *arguments, writes=False):
    """The command ends with `code`, leaves stdout empty and the folder as it is."""
    before = snapshot(work)
    found = run(*arguments)
    require(f"exit {code}: {name}", found.returncode == code)
    if found.returncode != code:
        print(f"  found exit {found.returncode}: {found.stderr.strip()[-400:]}")
    if found.stdout:
        require(f"exit {code}: {name}: nothing on stdout", False)
    if not writes and snapshot(work) != before:
        require(f"exit {code}: {name}: nothing written", False)


def usage(work, base, data, recipe):
    ends(work, "unknown command", 64, "trian")
    ends(work, "unknown option", 64, "eval", "--modle", base, "--data", data)
    ends(work, "unknown format", 64, "eval", "--model", base, "--data", data, "--format", "csv")
    ends(work, "unknown metric", 64, "eval", "--model", base, "--data", data, "--metric", "bleu")
    ends(work, "unknown key", 64, "train", recipe, "--set", "training.lerningRate=1")
    ends(work, "value out of range", 64, "train", recipe, "--set", "adapter.rank=0")
    ends(work, "wrong type", 64, "validate", recipe, "--set", "training.steps=many")
    broken = work / "broken.json"
    broken.write_text('{"model": {"path": "x"}, "model": {}}', encoding="utf-8")
    ends(work, "duplicate key", 64, "validate", broken)


def missing(work, base, data, recipe):
    nowhere = work / "nowhere"
    ends(work, "no recipe", 66, "train", nowhere)
    ends(work, "recipe without its data", 66, "train", recipe, "--set",
         f'data.train=[{{"path": "{nowhere}", "format": "text"}}]', "--output", work / "never")
    ends(work, "recipe without its model", 66, "train", recipe, "--set", f"model.path={nowhere}",
         "--output", work / "never")
    ends(work, "no model", 66, "eval", "--model", nowhere, "--data", data, "--format", "text")
    ends(work, "no data", 66, "eval", "--model", base, "--data", nowhere, "--format", "text")
    ends(work, "no adapter", 66, "eval", "--model", base, "--adapter", nowhere, "--data", data)
    ends(work, "no adapter to merge", 66, "merge", "--model", base, "--adapter", nowhere,
         "--output", work / "never")
    ends(work, "no run", 66, "resume", nowhere)
    ends(work, "nothing to inspect", 66, "inspect", nowhere)


def damaged(work, base, data):
    rows = work / "bad.jsonl"
    rows.write_text('{"text": "fine"}\n{"text": 3}\n', encoding="utf-8")
    ends(work, "a row of the wrong shape", 65, "eval", "--model", base, "--data", rows,
         "--format", "text")
    rows.write_text('{"text": "fine"}\n{"text": \n', encoding="utf-8")
    ends(work, "a row that is no JSON", 65, "eval", "--model", base, "--data", rows,
         "--format", "text")
    recipe = write_recipe(work / "bad.json", base, rows, training={"steps": 1})
    ends(work, "train on a row that is no JSON", 65, "train", recipe, "--output", work / "bad",
         writes=True)
    require("exit 65: no adapter from bad rows", not (work / "bad" / "adapter").exists())
    cut = work / "cut"
    shutil.copytree(base, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    ends(work, "truncated weights", 65, "eval", "--model", cut, "--data", data, "--format", "text")
    foreign = work / "foreign.gguf"
    foreign.write_bytes(b"not a model at all")
    ends(work, "a foreign file", 65, "eval", "--model", foreign, "--data", data, "--format", "text")


def runs(work, base, data):
    train = work / "train.jsonl"
    shutil.copy(data, train)
    recipe = write_recipe(
        work / "run.json", base, train, training={"steps": 2, "saveEvery": 1, "batchSize": 2}
    )
    folder = work / "run"
    output = [json.loads(line) for line in
              qlora("train", recipe, "--output", folder, "--json").splitlines()]
    require("train --json: a JSON object on each line", all(isinstance(x, dict) for x in output))
    require("metrics: keys of a step", all(set(step) == STEP_KEYS for step in metrics(folder)))
    names = {path.name for path in folder.iterdir()}
    require("run: its files", {"recipe.resolved.json", "metrics.jsonl", "adapter", "checkpoints"}
            <= names)
    parts = {p.name for p in (folder / "checkpoints" / "step-00000002").iterdir()}
    require("run: a checkpoint's files", parts == {
        "adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors", "state.json",
        "MANIFEST.json"})
    parts = {p.name for p in (folder / "adapter").iterdir()}
    require("run: an adapter's files",
            {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= parts)
    text = b"".join(p.read_bytes() for p in (folder / "adapter").iterdir())
    require("run: no place of the run in the adapter", str(folder).encode() not in text)
    ends(work, "a run with a checkpoint is not begun again", 73, "train", recipe,
         "--output", folder)
    ends(work, "merge into what exists", 73, "merge", "--model", base, "--adapter",
         folder / "adapter", "--output", folder)
    ends(work, "export into what exists", 73, "export", folder, "--format", "peft", "--output",
         base)
    adapter = snapshot(folder / "adapter")
    shutil.rmtree(folder / "adapter")
    result = run("resume", folder)
    require("resume: a finished run completes its export",
            result.returncode == 0 and snapshot(folder / "adapter") == adapter)
    write_rows(train, text_rows(6, seed=99))
    ends(work, "resume on other data", 78, "resume", folder, writes=True)
    shutil.copy(data, train)
    resolved = folder / "recipe.resolved.json"
    changed = json.loads(resolved.read_text())
    changed["training"]["optimizer"]["learningRate"] = 0.5
    resolved.write_text(json.dumps(changed))
    ends(work, "resume of another recipe", 78, "resume", folder, writes=True)
    return folder


def inspection(base, folder):
    """Everything that `inspect` knows is a tensor's name away."""
    tensors = base / "model.safetensors"
    for name, path, tensor in (
        ("a model", base, "model.embed_tokens.weight"),
        ("a safetensors file", tensors, "model.embed_tokens.weight"),
        ("a GGUF file", GOLDENS / "gguf" / "blocks.gguf", None),
        ("SmolLM2's GGUF", MODEL, "token_embd.weight"),
        ("an adapter", folder / "adapter", "lora_A"),
        ("a checkpoint", folder / "checkpoints" / "step-00000002", "lora_A"),
    ):
        found = run("inspect", path, "--json")
        if tensor is None:
            # A GGUF that is no model is refused as data, not as a defect of qlora.
            require(f"inspect: {name} that is no model", found.returncode in (0, 65))
        else:
            require(f"inspect: {name}", found.returncode == 0 and tensor in found.stdout)


def evaluation(base, data):
    common = ("eval", "--model", base, "--data", data, "--format", "text", "--json")
    both = qlora_json(*common, "--metric", "loss,exact_match")
    require("eval --json: keys", list(both) == EVAL_KEYS)
    expected = math.exp(both["meanNegativeLogLikelihood"])
    check("eval --json: |perplexity - exp(loss)| / perplexity",
          abs(both["perplexity"] - expected) / expected, 1e-12)
    loss = qlora_json(*common)
    require("eval --json: keys of the loss alone", list(loss) == EVAL_KEYS)
    require("eval --json: the same loss",
            loss["meanNegativeLogLikelihood"] == both["meanNegativeLogLikelihood"])


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    base, data = work / "base", work / "rows.jsonl"
    make_tiny_chat_model(base)
    write_rows(data, text_rows(6, seed=8))
    recipe = write_recipe(work / "recipe.json", base, data, training={"steps": 1})
    usage(work, base, data, recipe)
    missing(work, base, data, recipe)
    damaged(work, base, data)
    evaluation(base, data)
    inspection(base, runs(work, base, data))
finish()
