"""SmolLM2 from its GGUF: the golden passage and the tokenizer against transformers' numbers.

`eval --format text` adds an end token, so the expected loss is computed here with one; the golden
passage itself, without it, is a Swift test of QLoRAPipeline.
"""

import json
import pathlib
import tempfile

import torch
from common import (
    GOLDENS,
    MODEL,
    ROOT,
    check,
    finish,
    load_causal_model,
    qlora,
    qlora_json,
    require,
)

FLOAT32 = ROOT / "Models" / "SmolLM2-135M-Instruct-float32"
GOLDEN = json.loads((GOLDENS / "smollm2.json").read_text(encoding="utf-8"))


def expected(nf4, ids):
    model = load_causal_model(FLOAT32, nf4=nf4).eval()
    batch = torch.tensor([ids])
    with torch.no_grad():
        return model(input_ids=batch, labels=batch).loss.item()


with tempfile.TemporaryDirectory() as folder:
    data = pathlib.Path(folder) / "passage.jsonl"
    data.write_text(json.dumps({"text": GOLDEN["passage"]}) + "\n", encoding="utf-8")
    end = json.loads((FLOAT32 / "config.json").read_text())["eos_token_id"]
    ids = GOLDEN["passage_ids"] + [end]
    for name, quantization, key in (("plain", "none", "float32"), ("nf4dq", "nf4", "nf4dq")):
        # The oracle first against its own golden, so that a changed library is noticed.
        golden = expected(quantization == "nf4", GOLDEN["passage_ids"])
        drift = abs(golden - GOLDEN[key]["mean_nll"])
        check(f"smollm2 {name}: |transformers - golden|", drift, 1e-4)
        found = qlora_json(
            "eval", "--model", MODEL, "--quantization", quantization, "--compute-dtype", "float32",
            "--data", data, "--format", "text", "--metric", "loss", "--json",
        )
        require(f"smollm2 {name}: tokens", found["labelledTokens"] == len(ids) - 1)
        difference = abs(found["meanNegativeLogLikelihood"] - expected(quantization == "nf4", ids))
        check(f"smollm2 {name}: |loss - transformers'|", difference, 2e-4)
    described = json.loads(qlora("inspect", MODEL, "--json"))
    require("smollm2: inspect names the tensors", "token_embd.weight" in json.dumps(described))
finish()
