"""SmolLM2 from its GGUF: the loss of the golden passage against transformers.

`eval --format text` adds an end token, so the expected loss is computed here with one; the golden
passage itself, without it, is a Swift test of QLoRAPipeline.
"""

import json
import pathlib
import tempfile

from common import FLOAT32, GOLDENS, MODEL, check, evaluate, finish, require
from reference import load_causal_model, mean_losses

GOLDEN = json.loads((GOLDENS / "smollm2.json").read_text(encoding="utf-8"))

with tempfile.TemporaryDirectory() as folder:
    data = pathlib.Path(folder) / "passage.jsonl"
    data.write_text(json.dumps({"text": GOLDEN["passage"]}) + "\n", encoding="utf-8")
    end = json.loads((FLOAT32 / "config.json").read_text())["eos_token_id"]
    passage = GOLDEN["passage_ids"]
    ended = passage + [end]
    for name, quantization, key in (("plain", "none", "float32"), ("nf4dq", "nf4", "nf4dq")):
        model = load_causal_model(FLOAT32, nf4=quantization == "nf4")
        _, (golden, expected) = mean_losses(model, [(passage, passage), (ended, ended)])
        # The oracle first against its own golden, so that a changed library is noticed.
        drift = abs(golden - GOLDEN[key]["mean_nll"])
        check(f"smollm2 {name}: |transformers - golden|", drift, 1e-4)
        more = ("--quantization", quantization, "--compute-dtype", "float32")
        found = evaluate(MODEL, data, "text", *more)
        require(f"smollm2 {name}: tokens", found["labelledTokens"] == len(ended) - 1)
        difference = abs(found["meanNegativeLogLikelihood"] - expected)
        check(f"smollm2 {name}: |loss - transformers'|", difference, 2e-4)
finish()
