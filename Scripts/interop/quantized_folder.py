"""Folders in 4 bits, both ways: ours against the libraries' own quantization, theirs read by us.

A language model and a T5 encoder; quantized_models.py has models of more kinds.
"""

import json
import pathlib
import shutil
import tempfile

import torch
import transformers
from common import (
    FLOAT32,
    GOLDENS,
    MODEL,
    check,
    evaluate,
    finish,
    make_tiny_chat_model,
    metrics,
    qlora,
    qlora_json,
    require,
    text_rows,
    write_json,
    write_recipe,
    write_rows,
)
from quantized import compare_bytes, compare_outputs, flags, settings, tensors
from reference import mean_losses

GOLDEN = json.loads((GOLDENS / "smollm2.json").read_text(encoding="utf-8"))
TEXTS = [
    GOLDEN["passage"],
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n",
    "The square of the hypotenuse is the sum of the squares of the other two sides; so a triangle "
    "of 3, 4 and 5 has a right angle, and one of 5, 12 and 13 has, too.",
    "Der Zug nach Basel fährt um 7:45 Uhr von Gleis 12 ab. Le train arrive à midi.",
    '{"name": "set_alarm", "arguments": {"time": "06:30", "days": ["Monday", "Friday"]}}',
]
TYPES = [("nf4", True), ("nf4", False), ("fp4", True), ("fp4", False)]


def entry(folder):
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    return config["quantization_config"]


def decoded(folder, name):
    """A weight by the format's definition, and the type that its state names."""
    parts = tensors(folder)
    weight = parts[name]
    key = next(k for k in parts if k.startswith(name + ".quant_state."))
    state = json.loads(bytes(parts[key].tolist()))
    absmax = parts[name + ".absmax"]
    if "nested_offset" in state:
        scales = parts[name + ".nested_absmax"].repeat_interleave(256)[: absmax.numel()]
        absmax = parts[name + ".nested_quant_map"][absmax.long()] * scales + state["nested_offset"]
    codes = torch.stack([weight.flatten() >> 4, weight.flatten() & 15], 1).flatten().long()
    values = parts[name + ".quant_map"][codes]
    count = state["shape"][0] * state["shape"][1]
    scales = absmax.repeat_interleave(state["blocksize"])
    return (values[:count] * scales[:count]).reshape(state["shape"])


def smollm2(work):
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        FLOAT32, quantization_config=settings())
    theirs.save_pretrained(work / "theirs")
    qlora("quantize", FLOAT32, "--output", work / "ours")
    compare_bytes("smollm2 nf4", work / "ours", work / "theirs")
    require("smollm2 nf4: quantization_config", entry(work / "ours") == entry(work / "theirs"))
    qlora("quantize", MODEL, "--output", work / "gguf")
    compare_bytes("smollm2 nf4 from GGUF", work / "gguf", work / "theirs")

    model = transformers.AutoModelForCausalLM.from_pretrained(work / "gguf")
    report = qlora_json("inspect", work / "gguf", "--json")
    require("smollm2 nf4: memoryFootprintBytes is get_memory_footprint()",
            report["memoryFootprintBytes"] == model.get_memory_footprint())
    require("smollm2 nf4: 4.127 bits", report["parts"]["quantized"]["bitsPerParameter"] == 4.127)
    data = work / "passage.jsonl"
    data.write_text(json.dumps({"text": GOLDEN["passage"]}) + "\n", encoding="utf-8")
    ended = GOLDEN["passage_ids"] + [model.config.eos_token_id]
    expected, _ = mean_losses(model, [(ended, ended)])
    found = evaluate(work / "gguf", data, "text")["meanNegativeLogLikelihood"]
    check("smollm2 nf4, from_pretrained with nothing said: |loss - transformers'|",
          abs(found - expected), 1e-5)

    qlora("dequantize", work / "ours", "--output", work / "plain", "--dtype", "fp32")
    plain = tensors(work / "plain")
    names = [n for n in tensors(work / "ours") if n.endswith("_proj.weight")]
    same = all(torch.equal(plain[n], decoded(work / "ours", n)) for n in names[:20])
    require("smollm2 dequantized: table · absmax", same and set(plain) == set(tensors(FLOAT32)))
    model = transformers.AutoModelForCausalLM.from_pretrained(work / "plain")
    found, _ = mean_losses(model, [(ended, ended)])
    check("smollm2 dequantized: |loss - quantized|", abs(found - expected), 1e-5)


def token_losses(model, rows):
    """Negative log-likelihoods of all tokens but each row's first, and the logits behind them."""
    losses, all_logits = [], []
    with torch.no_grad():
        for tokens in rows:
            logits = model(torch.tensor([tokens]), use_cache=False).logits[0, :-1]
            logits = logits.double() if logits.dtype == torch.float64 else logits.float()
            losses.append(torch.nn.functional.cross_entropy(
                logits, torch.tensor(tokens[1:]), reduction="none"))
            all_logits.append(logits)
    return torch.cat(losses), torch.cat(all_logits)


def logits(work):
    """Token by token on folders of both makers, over texts of several kinds.

    float32 rounds both, each in its own order of summing. How much that may be is measured: by
    transformers' own distance from the same weights in float64. A token that is most likely may
    change only where two logits are as near as that.
    """
    data = work / "texts.jsonl"
    write_rows(data, [{"text": text} for text in TEXTS])
    for kind, double in (("nf4", True), ("fp4", False)):
        name = f"smollm2 {kind}{' double' if double else ''}"
        model = transformers.AutoModelForCausalLM.from_pretrained(
            FLOAT32, quantization_config=settings(kind, double))
        model.save_pretrained(work / f"{kind}-theirs")
        qlora("quantize", MODEL, "--output", work / f"{kind}-ours", *flags(kind, double))
        for part in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(work / f"{kind}-ours" / part, work / f"{kind}-theirs" / part)
        qlora("dequantize", work / f"{kind}-theirs", "--output", work / f"{kind}-plain",
              "--dtype", "fp32")
        double_precision = transformers.AutoModelForCausalLM.from_pretrained(
            work / f"{kind}-plain", dtype=torch.float64)
        # In evaluation bitsandbytes repacks weights for products in bf16.
        model.train()
        for maker in ("ours", "theirs"):
            file = work / f"{kind}-{maker}.jsonl"
            evaluate(work / f"{kind}-{maker}", data, "text", "--tokens", file)
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            expected, values = token_losses(model, [row["tokens"] for row in rows])
            exact, _ = token_losses(double_precision, [row["tokens"] for row in rows])
            rounding = (expected - exact).abs().max().item()
            found = torch.tensor([x for row in rows for x in row["negativeLogLikelihoods"][1:]])
            check(f"{name} by {maker}: largest |loss - float64's| of {len(found)} tokens, "
                  f"transformers' being {rounding:.3g}",
                  (found - exact).abs().max().item(), 2 * rounding)
            likely = torch.tensor([x for row in rows for x in row["mostLikely"][1:]])
            behind = values.max(1).values - values.gather(1, likely[:, None])[:, 0]
            check(f"{name} by {maker}: how far the most likely tokens are behind transformers'",
                  behind.max().item(), 4 * rounding)


def half_precision(work):
    """float16 beside PyTorch's: how far each token's loss is from float32's."""
    data = work / "texts.jsonl"
    write_rows(data, [{"text": text} for text in TEXTS])
    losses = {}
    for dtype in ("float32", "float16"):
        file = work / f"{dtype}.jsonl"
        evaluate(MODEL, data, "text", "--compute-dtype", dtype, "--tokens", file)
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        losses[dtype] = torch.tensor(
            [x for row in rows for x in row["negativeLogLikelihoods"][1:]])
        model = transformers.AutoModelForCausalLM.from_pretrained(
            FLOAT32, dtype=getattr(torch, dtype))
        losses[f"theirs {dtype}"], _ = token_losses(model, [row["tokens"] for row in rows])
    theirs = (losses["theirs float16"] - losses["theirs float32"]).abs()
    ours = (losses["float16"] - losses["float32"]).abs()
    check(f"smollm2 in float16: mean |loss - float32's|, PyTorch's being {theirs.mean():.3g}",
          ours.mean().item(), theirs.mean().item())


def read_theirs(work):
    """Folders that transformers wrote, with codes stored under other types and without an entry."""
    make_tiny_chat_model(work / "chat")
    write_rows(work / "rows.jsonl", text_rows(8, seed=3))
    losses, steps = [], []
    for storage in ("uint8", "bfloat16", "float16", "float32"):
        folder = work / f"chat-{storage}"
        model = transformers.AutoModelForCausalLM.from_pretrained(
            work / "chat", dtype=torch.float32,
            quantization_config=settings(bnb_4bit_quant_storage=storage))
        model.save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(work / "chat" / name, folder / name)
        if storage == "bfloat16":
            config = json.loads((folder / "config.json").read_text())
            del config["quantization_config"]
            write_json(folder / "config.json", config)
        losses.append(evaluate(folder, work / "rows.jsonl", "text"))
        recipe = write_recipe(
            work / "recipe.json", folder, work / "rows.jsonl",
            training={"steps": 2, "batchSize": 4})
        qlora("train", recipe, "--output", work / f"run-{storage}")
        steps.append([line["loss"] for line in metrics(work / f"run-{storage}")])
    require("quant storage uint8, bf16, f16, f32 and no entry: one loss, one training",
            all(x == losses[0] for x in losses) and all(x == steps[0] for x in steps))
    rows = [(x["tokens"], x["labels"]) for x in map(json.loads, qlora(
        "preview", recipe, "-n", 8, "--json").splitlines())]
    expected, _ = mean_losses(model, rows)
    check("chat nf4 by transformers: |loss - transformers'|",
          abs(losses[0]["meanNegativeLogLikelihood"] - expected), 1e-5)


def t5_encoder(work):
    torch.manual_seed(0)
    config = transformers.T5Config(
        d_model=128, d_kv=32, num_heads=4, d_ff=256, num_layers=2, vocab_size=128,
        feed_forward_proj="gated-gelu")
    transformers.T5EncoderModel(config).save_pretrained(work / "t5")
    load = transformers.T5EncoderModel.from_pretrained
    ids = torch.arange(40).reshape(2, 20)
    for kind, double in TYPES:
        name = f"t5 {kind}{' double' if double else ''}"
        ours, theirs = work / f"t5-{kind}{double}", work / f"t5-{kind}{double}-theirs"
        qlora("quantize", work / "t5", "--output", ours, *flags(kind, double))
        model = load(work / "t5", quantization_config=settings(kind, double)).train()
        model.save_pretrained(theirs)
        compare_bytes(name, ours, theirs)
        again = load(ours).train()
        report = qlora_json("inspect", ours, "--json")
        require(f"{name}: memoryFootprintBytes",
                report["memoryFootprintBytes"] == again.get_memory_footprint())
        compare_outputs(name, lambda m: m.eval()(ids).last_hidden_state, again, model)
    qlora("quantize", work / "t5", "--output", work / "t5-skip", "--skip", "SelfAttention.q",
          "--skip", r"encoder\.block\.1\..*", "--skip", "encoder.block.0.layer.0.SelfAttention.k")
    again = load(work / "t5-skip")
    left = [n for n, m in again.named_modules() if type(m) is torch.nn.Linear]
    expected = [n for n in left if "q" in n.split(".")[-1] or ".block.1." in n
                or n.endswith(("block.0.layer.0.SelfAttention.k", "wo"))]
    require(f"t5 with skipped modules: {len(left)} linears left, loaded with nothing said",
            left == expected and len(left) == 10)


with tempfile.TemporaryDirectory() as folder:
    for part in (t5_encoder, read_theirs, smollm2, logits, half_precision):
        (pathlib.Path(folder) / part.__name__).mkdir()
        part(pathlib.Path(folder) / part.__name__)
finish()
