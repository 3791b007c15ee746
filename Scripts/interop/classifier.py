"""Adapters with a head that qlora trained, in PEFT on transformers' models; merged ones, alone.

On the golden BERT, RoBERTa and Llama, plain and in NF4: logits of every validation row.
"""

import json
import pathlib
import shutil
import tempfile

import torch
from bitsandbytes import functional
from common import GOLDENS, check, finish, qlora, require, write_json, write_rows
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

HEADS = ("classifier", "pre_classifier", "score")
FILLERS = "the film plot is was very story of it end".split()


def rows(count, seed):
    generator = torch.Generator().manual_seed(seed)

    def below(bound):
        return int(torch.randint(0, bound, (1,), generator=generator))

    made = []
    for index in range(count):
        words = [FILLERS[below(len(FILLERS))] for _ in range(2 + below(5))]
        label = below(3)
        words.insert(below(len(words) + 1), ["good", "dull", "fine"][label])
        row = {"text": " ".join(words), "label": ["yes", "no", "perhaps"][label]}
        made.append(row | ({"text_pair": "the story"} if index % 3 == 0 else {}))
    return made


def quantize(model):
    """The linears of the base in NF4 and back, as bitsandbytes decodes them."""
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and not name.startswith(HEADS):
                packed, state = functional.quantize_4bit(
                    module.weight.contiguous().reshape(-1, 64), blocksize=64, quant_type="nf4",
                    compress_statistics=True)
                module.weight.copy_(
                    functional.dequantize_4bit(packed, state).reshape(module.weight.shape))


def probabilities(model, tokenizer, data):
    found = []
    for row in data:
        encoded = tokenizer.encode(*[row[key] for key in ("text", "text_pair") if key in row])
        inputs = {"input_ids": torch.tensor([encoded.ids])}
        if getattr(model.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = torch.tensor([encoded.type_ids])
        with torch.no_grad():
            found.append(model(**inputs).logits[0].float().softmax(-1))
    return torch.stack(found)


def classify(model, data, labels, *more):
    lines = qlora("classify", "--model", model, "--data", data, "--json", *more).splitlines()
    return torch.tensor([
        [json.loads(line)["probabilities"][label] for label in labels] for line in lines])


def load(folder, **more):
    return AutoModelForSequenceClassification.from_pretrained(
        str(folder), dtype=torch.float32, attn_implementation="eager", **more).eval()


def round_trip(work, kind, quantization):
    name = f"{kind} on {quantization}"
    base, run = work / kind, work / f"{kind}-{quantization}"
    recipe = work / f"{kind}-{quantization}.json"
    write_json(recipe, {
        "task": "classification",
        "model": {"path": str(base), "quantization": {"type": quantization},
                  "computeDType": "float32"},
        "adapter": {"rank": 4, "alpha": 8},
        "data": {"train": [{"path": str(work / "train.jsonl"), "format": "classification"}],
                 "validation": [{"path": str(work / "test.jsonl"), "format": "classification"}],
                 "maxTokens": 48},
        "training": {"steps": 60, "batchSize": 2, "gradientAccumulation": 2, "seed": 5,
                     "optimizer": {"learningRate": 1e-2}}})
    qlora("train", recipe, "--output", run)
    labels = json.loads((run / "adapter" / "qlora.json").read_text())["labels"]
    require(f"{name}: labels", labels == ["no", "perhaps", "yes"])
    test = [json.loads(line) for line in (work / "test.jsonl").read_text().splitlines()]
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    # The base's own head is drawn anew each time: all that counts of it comes with the adapter.
    model = load(base, num_labels=3)
    if quantization == "nf4":
        quantize(model)
    model = PeftModel.from_pretrained(model, str(run / "adapter")).eval()
    theirs = probabilities(model, tokenizer, test)
    ours = classify(base, work / "test.jsonl", labels, "--adapter", run / "adapter")
    check(f"{name}: worst |probability - PEFT's|", float((ours - theirs).abs().max()), 1e-4)
    require(f"{name}: the same predictions", torch.equal(ours.argmax(-1), theirs.argmax(-1)))
    truth = torch.tensor([labels.index(row["label"]) for row in test])
    report = json.loads(qlora(
        "eval", "--model", base, "--adapter", run / "adapter", "--data", work / "test.jsonl",
        "--format", "classification", "--json"))
    accuracy = float((theirs.argmax(-1) == truth).float().mean())
    check(f"{name}: |accuracy - PEFT's|", abs(report["accuracy"] - accuracy), 1e-6)
    check(f"{name}: learnt, 1 - accuracy", 1 - accuracy, 0.2)
    loss = float(torch.nn.functional.nll_loss(theirs.log(), truth))
    check(f"{name}: |loss - PEFT's|", abs(report["loss"] - loss), 1e-4)

    saved = work / f"{kind}-{quantization}-saved"
    model.save_pretrained(str(saved))
    one, other = (load_file(folder / "adapter_model.safetensors")
                  for folder in (run / "adapter", saved))
    require(f"{name}: PEFT saves what it loaded",
            set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one))
    again = classify(base, work / "test.jsonl", ["LABEL_0", "LABEL_1", "LABEL_2"],
                     "--adapter", saved, "--quantization", quantization)
    check(f"{name}: saved by PEFT, worst difference", float((again - theirs).abs().max()), 1e-4)

    merged = work / f"{kind}-{quantization}-merged"
    qlora("merge", "--model", base, "--adapter", run / "adapter", "--output", merged,
          "--dtype", "fp32", "--base", "decoded")
    alone = load(merged)
    require(f"{name}: merged labels", alone.config.id2label == dict(enumerate(labels)))
    found = probabilities(alone, tokenizer, test)
    check(f"{name}: merged, worst difference", float((found - theirs).abs().max()), 1e-4)
    check(f"{name}: merged, in qlora",
          float((classify(merged, work / "test.jsonl", labels) - found).abs().max()), 1e-4)


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    write_rows(work / "train.jsonl", rows(120, seed=1))
    write_rows(work / "test.jsonl", rows(40, seed=2))
    for kind in ("bert", "roberta", "distilbert", "llama"):
        shutil.copytree(GOLDENS / "classifiers" / kind, work / kind)
        for quantization in ("none", "nf4"):
            round_trip(work, kind, quantization)
finish()
