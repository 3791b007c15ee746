"""An adapter that qlora trained, in PEFT; a model that qlora merged, in transformers.

On the tiny Llama, and on SmolLM2 from its GGUF with chat rows.
"""

import pathlib
import tempfile

import torch
from common import (
    FLOAT32,
    MODEL,
    ROOT,
    check,
    encoded_text,
    evaluate,
    finish,
    make_tiny_chat_model,
    metrics,
    preview,
    qlora,
    require,
    rows_of,
    text_rows,
    write_recipe,
    write_rows,
)
from peft import PeftModel
from reference import load_causal_model, mean_losses
from safetensors.torch import load_file

TOOL_CALLS = ROOT / "Datasets" / "tool-calls"
TWO = ["q_proj", "down_proj"]
ADAPTERS = [
    ("plain base, all linears", "none", {"rank": 4, "alpha": 8, "targets": "all-linear"}),
    ("plain base, two linears", "none", {"rank": 3, "alpha": 5, "targets": TWO}),
    ("NF4 base, all linears", "nf4", {"rank": 8, "alpha": 16, "targets": "all-linear"}),
]


def with_adapter(base, nf4, adapter):
    return PeftModel.from_pretrained(load_causal_model(base, nf4=nf4), str(adapter))


def check_adapter(name, ours, model, rows, bound):
    """The loss of all rows and, where it was asked for, of each."""
    mean, each = mean_losses(model, rows)
    check(f"peft {name}: |loss - PEFT's|", abs(ours["meanNegativeLogLikelihood"] - mean), bound)
    found = [group["meanNegativeLogLikelihood"] for group in ours.get("groups", {}).values()]
    if found:
        require(f"peft {name}: rows reported apart", len(found) == len(each))
        worst = max(abs(a - b) for a, b in zip(found, each))
        check(f"peft {name}: worst |row's loss - PEFT's|", worst, bound)
    labelled = sum(label != -100 for _, labels in rows for label in labels)
    require(f"peft {name}: labelled tokens", ours["labelledTokens"] == labelled)
    return mean


def check_merged(work, name, number, run, base, test, rows, expected):
    """Merged in float32, the model is the adapted one; exported, it is that rounded to bfloat16."""
    merged, exported = work / f"merged{number}", work / f"exported{number}"
    qlora(
        "merge", "--model", base, "--adapter", run / "adapter", "--output", merged,
        "--dtype", "fp32",
    )
    mean, _ = mean_losses(load_causal_model(merged), rows)
    check(f"merged {name}: |transformers - PEFT|", abs(mean - expected), 1e-5)
    ours = evaluate(merged, test, "text")["meanNegativeLogLikelihood"]
    check(f"merged {name}: |qlora - transformers|", abs(ours - mean), 1e-5)
    qlora("export", run, "--format", "merged", "--output", exported)
    plain, rounded = (load_file(f / "model.safetensors") for f in (merged, exported))
    require(f"exported {name}: the merged weights in bfloat16",
            set(plain) == set(rounded)
            and all(torch.equal(plain[k].to(torch.bfloat16), rounded[k]) for k in plain))
    mean, _ = mean_losses(load_causal_model(exported), rows)
    ours = evaluate(exported, test, "text")["meanNegativeLogLikelihood"]
    check(f"exported {name}: |qlora - transformers|", abs(ours - mean), 1e-5)


def round_trip(work, tokenizer, number, name, quantization, adapter):
    base, train, test = work / "base", work / "train.jsonl", work / "test.jsonl"
    run, again = work / f"run{number}", work / f"again{number}"
    recipe = write_recipe(
        work / f"recipe{number}.json",
        base,
        train,
        model={"quantization": {"type": quantization}},
        adapter=adapter,
        training={
            "steps": 12,
            "batchSize": 4,
            "optimizer": {"type": "adamw", "learningRate": 1e-2},
            "schedule": {"type": "constant", "warmupSteps": 0},
            "seed": 3,
        },
    )
    qlora("train", recipe, "--output", run)
    ours = evaluate(base, test, "text", "--adapter", run / "adapter", "--group-by", "number")
    bare = evaluate(base, test, "text", "--quantization", quantization)
    # Without this, an adapter that both sides ignore would pass.
    gain = bare["meanNegativeLogLikelihood"] - ours["meanNegativeLogLikelihood"]
    check(f"peft {name}: lost against the bare model", -gain, -0.1)
    rows = [encoded_text(tokenizer, row) for row in TEST]
    model = with_adapter(base, quantization == "nf4", run / "adapter")
    mean = check_adapter(name, ours, model, rows, 1e-4)
    if quantization == "none":
        check_merged(work, name, number, run, base, test, rows, mean)

    # Saved by PEFT, the adapter is where another run begins: the first loss is before any update.
    saved = work / f"saved{number}"
    model.save_pretrained(str(saved))
    continued = write_recipe(
        work / f"continued{number}.json",
        base,
        test,
        model={"quantization": {"type": quantization}},
        adapter={"initializeFrom": str(saved), "rank": adapter["rank"], "alpha": adapter["alpha"]},
        training={"steps": 1, "batchSize": len(rows)},
    )
    qlora("train", continued, "--output", again)
    [step] = metrics(again)
    check(f"initializeFrom {name}: |first loss - PEFT's|", abs(step["loss"] - mean), 1e-4)
    # By PEFT's folder alone: nothing there says how the base was held.
    found = evaluate(base, test, "text", "--adapter", saved, "--quantization", quantization)
    check(f"saved by PEFT {name}: |loss - PEFT's|",
          abs(found["meanNegativeLogLikelihood"] - mean), 1e-4)


def smollm2(work, name, quantization, bound):
    """Three steps from the GGUF, then test rows on both sides."""
    data = {"maxTokens": 256}
    model = {"quantization": {"type": quantization}}
    form = "messages"
    recipe = write_recipe(
        work / f"smollm2-{quantization}.json", MODEL, TOOL_CALLS / "train.jsonl", form,
        model=model, data=data, adapter={"rank": 16, "alpha": 32},
        training={"steps": 3, "batchSize": 4, "optimizer": {"learningRate": 1e-3},
                  "schedule": {"type": "constant", "warmupSteps": 0}},
    )
    run = work / f"smollm2-{quantization}"
    qlora("train", recipe, "--output", run)
    test = work / "smollm2-test.jsonl"
    lines = (TOOL_CALLS / "test.jsonl").read_text(encoding="utf-8").splitlines()[:8]
    test.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shown = write_recipe(work / "smollm2-test.json", MODEL, test, form, data=data)
    rows = [row for line in preview(shown, len(lines)) for row in rows_of(line)]
    ours = evaluate(MODEL, test, form, "--adapter", run / "adapter")
    check_adapter(
        f"SmolLM2 {name}", ours, with_adapter(FLOAT32, quantization == "nf4", run / "adapter"),
        rows, bound,
    )


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    tokenizer = make_tiny_chat_model(work / "base")
    write_rows(work / "train.jsonl", text_rows(48, seed=1))
    TEST = text_rows(12, seed=2)
    write_rows(work / "test.jsonl", TEST)
    for number, (name, quantization, adapter) in enumerate(ADAPTERS):
        round_trip(work, tokenizer, number, name, quantization, adapter)
    smollm2(work, "plain", "none", 1e-4)
    smollm2(work, "NF4", "nf4", 2e-4)
finish()
