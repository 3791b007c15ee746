"""An adapter that qlora trained, in PEFT; a model that qlora merged, in transformers."""

import pathlib
import tempfile

from common import (
    check,
    finish,
    load_causal_model,
    make_tiny_chat_model,
    mean_loss,
    qlora,
    qlora_json,
    text_batch,
    text_rows,
    write_recipe,
    write_rows,
)
from peft import PeftModel

TWO = ["q_proj", "down_proj"]
ADAPTERS = [
    ("plain base, all linears", "none", {"rank": 4, "alpha": 8, "targets": "all-linear"}),
    ("plain base, two linears", "none", {"rank": 3, "alpha": 5, "targets": TWO}),
    ("NF4 base, all linears", "nf4", {"rank": 8, "alpha": 16, "targets": "all-linear"}),
]


def round_trip(work, number, name, quantization, adapter):
    base, train, test = work / "base", work / "train.jsonl", work / "test.jsonl"
    run, merged = work / f"run{number}", work / f"merged{number}"
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
    evaluation = ("--data", test, "--format", "text", "--metric", "loss", "--json")
    ours = qlora_json("eval", "--model", base, "--adapter", run / "adapter", *evaluation)
    bare = qlora_json(
        "eval", "--model", base, "--quantization", quantization, "--compute-dtype", "float32",
        *evaluation,
    )
    model = PeftModel.from_pretrained(
        load_causal_model(base, nf4=quantization == "nf4"), str(run / "adapter")
    )
    theirs = mean_loss(model, *BATCH)
    check(f"peft {name}: |loss - PEFT's|", abs(ours["meanNegativeLogLikelihood"] - theirs), 1e-4)
    # Without this, an adapter that both sides ignore would pass.
    gain = bare["meanNegativeLogLikelihood"] - ours["meanNegativeLogLikelihood"]
    check(f"peft {name}: lost against the bare model", -gain, -0.1)
    labelled = int((BATCH[1] != -100).sum())
    check(f"peft {name}: difference of labelled tokens", abs(ours["labelledTokens"] - labelled), 0)
    if quantization == "none":
        qlora(
            "merge", "--model", base, "--adapter", run / "adapter", "--output", merged,
            "--dtype", "float32",
        )
        loss = mean_loss(load_causal_model(merged), *BATCH)
        check(f"merged {name}: |loss - adapter's|", abs(loss - theirs), 1e-5)


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    tokenizer = make_tiny_chat_model(work / "base")
    write_rows(work / "train.jsonl", text_rows(48, seed=1))
    rows = text_rows(12, seed=2)
    write_rows(work / "test.jsonl", rows)
    BATCH = text_batch(tokenizer, rows)
    for number, (name, quantization, adapter) in enumerate(ADAPTERS):
        round_trip(work, number, name, quantization, adapter)
finish()
