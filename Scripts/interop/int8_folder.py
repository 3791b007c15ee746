"""Folders in 8 bits, both ways: ours against the libraries' own, theirs read and trained on by us.

Inference rounds activations to 8 bits, so tiny differences in an activation move whole codes, layer
after layer. Single layers are compared exactly by the tests of the project; here the tiny model
shows that the layers are put together as in transformers, and SmolLM2 that nothing drifts.
"""

import json
import logging
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
    write_recipe,
    write_rows,
)
from quantized import compare_bytes, compare_outputs, tensors
from reference import loss_sum, mean_losses


logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
GOLDEN = json.loads((GOLDENS / "smollm2.json").read_text(encoding="utf-8"))


def settings(**more):
    return transformers.BitsAndBytesConfig(load_in_8bit=True, **more)


def entry(folder):
    return json.loads((pathlib.Path(folder) / "config.json").read_text())["quantization_config"]


def in_inference(model, rows):
    """The mean loss of all labelled tokens, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        found = [loss_sum(model, *row) for row in rows]
    return sum(s.double().item() for s, _ in found) / sum(c for _, c in found)


def previewed(recipe, count):
    lines = map(json.loads, qlora("preview", recipe, "-n", count, "--json").splitlines())
    return [(x["tokens"], x["labels"]) for x in lines]


def chat(work):
    make_tiny_chat_model(work / "chat")
    rows = text_rows(8, seed=3)
    write_rows(work / "rows.jsonl", rows)
    load = transformers.AutoModelForCausalLM.from_pretrained
    for threshold in (6.0, 1.5, 0.0):
        name = f"chat int8, threshold {threshold:g}"
        ours, theirs = work / f"ours-{threshold}", work / f"theirs-{threshold}"
        qlora("quantize", work / "chat", "--output", ours, "--type", "int8",
              "--threshold", threshold)
        model = load(work / "chat", dtype=torch.float32,
                     quantization_config=settings(llm_int8_threshold=threshold))
        model.save_pretrained(theirs)
        compare_bytes(name, ours, theirs)
        require(f"{name}: quantization_config", entry(ours) == entry(theirs))
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(work / "chat" / file, theirs / file)
        recipe = write_recipe(
            work / "recipe.json", theirs, work / "rows.jsonl",
            training={"steps": 1, "batchSize": 8})
        encoded = previewed(recipe, 8)
        qlora("train", recipe, "--output", work / f"run-{threshold}")
        step = metrics(work / f"run-{threshold}")[0]
        expected, _ = mean_losses(model, encoded)
        check(f"{name}: training loss, |ours - transformers'|", abs(step["loss"] - expected), 1e-5)
        # A file for each row: in a batch, rows share the columns that count as outliers.
        found = 0
        for index, row in enumerate(rows):
            write_rows(work / f"row-{index}.jsonl", [row])
            report = evaluate(theirs, work / f"row-{index}.jsonl", "text")
            found += report["meanNegativeLogLikelihood"] * report["labelledTokens"]
        found /= sum(len(tokens) - 1 for tokens, _ in encoded)
        check(f"{name}: inference loss, |ours - transformers'|",
              abs(found - in_inference(model, encoded)), 1e-3)


def t5_encoder(work):
    torch.manual_seed(0)
    config = transformers.T5Config(
        d_model=128, d_kv=32, num_heads=4, d_ff=256, num_layers=2, vocab_size=128,
        feed_forward_proj="gated-gelu")
    transformers.T5EncoderModel(config).save_pretrained(work / "t5")
    load = transformers.T5EncoderModel.from_pretrained
    ids = torch.arange(40).reshape(2, 20)
    qlora("quantize", work / "t5", "--output", work / "ours", "--type", "int8")
    model = load(work / "t5", quantization_config=settings())
    model.save_pretrained(work / "theirs")
    compare_bytes("t5 int8", work / "ours", work / "theirs")
    again = load(work / "ours")
    report = qlora_json("inspect", work / "ours", "--json")
    require("t5 int8: memoryFootprintBytes",
            report["memoryFootprintBytes"] == again.get_memory_footprint())
    compare_outputs("t5 int8", lambda m: m.eval()(ids).last_hidden_state, again, model)


def smollm2(work):
    load = transformers.AutoModelForCausalLM.from_pretrained
    model = load(FLOAT32, quantization_config=settings())
    model.save_pretrained(work / "theirs")
    qlora("quantize", FLOAT32, "--output", work / "ours", "--type", "int8")
    compare_bytes("smollm2 int8", work / "ours", work / "theirs")
    require("smollm2 int8: quantization_config", entry(work / "ours") == entry(work / "theirs"))
    again = load(work / "ours")
    report = qlora_json("inspect", work / "ours", "--json")
    require("smollm2 int8: memoryFootprintBytes is get_memory_footprint()",
            report["memoryFootprintBytes"] == again.get_memory_footprint())
    qlora("dequantize", work / "ours", "--output", work / "plain", "--dtype", "fp32")
    plain, codes = tensors(work / "plain"), tensors(work / "ours")
    names = [n for n in plain if n.endswith("_proj.weight")]
    same = all(
        torch.equal(
            plain[n],
            codes[n] * codes[n.replace("weight", "SCB")][:, None] * 7.874015718698502e-3)
        for n in names)
    require(f"smollm2 int8 dequantized: {len(names)} linears as the library decodes", same)


def first_layers(work):
    """The first four blocks of SmolLM2: deeper, 1e-6 of noise becomes percents in both programs."""
    qlora("quantize", MODEL, "--output", work / "whole", "--type", "int8")
    model = transformers.AutoModelForCausalLM.from_pretrained(FLOAT32, num_hidden_layers=4)
    model.save_pretrained(work / "four")
    qlora("quantize", work / "four", "--output", work / "ours", "--type", "int8")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(work / "whole" / file, work / "ours" / file)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        work / "ours", attn_implementation="eager")
    write_rows(work / "passage.jsonl", [{"text": GOLDEN["passage"]}])
    ended = GOLDEN["passage_ids"] + [model.config.eos_token_id]
    found = evaluate(work / "ours", work / "passage.jsonl", "text")["meanNegativeLogLikelihood"]
    check("smollm2 int8, four blocks: inference loss, |ours - transformers'|",
          abs(found - in_inference(model, [(ended, ended)])), 1e-4)


with tempfile.TemporaryDirectory() as folder:
    for part in (t5_encoder, chat, first_layers, smollm2):
        (pathlib.Path(folder) / part.__name__).mkdir()
        part(pathlib.Path(folder) / part.__name__)
finish()
