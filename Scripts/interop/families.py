"""Adapters that qlora trained on a tiny model of every family, in PEFT; the merged models.

The models are those of the goldens with a larger vocabulary, for a tokenizer. Of experts, the files
have a pair for each expert's linear, as transformers 4 had them: PEFT joins them where it loads.
Where a GGUF file can say all of the model, llama.cpp loads the merged one, too; of experts, the
adapter as well.
usage: families.py [NAME...]     (all when none is named)
"""

import pathlib
import sys
import tempfile

import torch
from common import (
    GOLDENS,
    ROOT,
    check,
    encoded_text,
    evaluate,
    finish,
    make_tiny_chat_model,
    qlora,
    require,
    text_rows,
    write_json,
    write_recipe,
    write_rows,
)
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from xllamacpp import CommonAdapterLoraInfo, CommonParams, Server

sys.path.insert(0, str(ROOT / "Scripts" / "goldens"))
from make_family_goldens import CASES, make_model  # noqa: E402

VOCABULARY, END = 320, 258
# Its positions depend on the longest row of a batch, which differs between the two.
LEFT_OUT = {"llama-dynamic"}
# llama.cpp takes these for granted.
GEMMA3 = {"query_pre_attn_scalar": 16, "num_hidden_layers": 6,
          "layer_types": ["sliding_attention"] * 5 + ["full_attention"]}
CHANGES = {
    "gemma2": {"query_pre_attn_scalar": 16},
    "gemma3": GEMMA3, "gemma3-images": GEMMA3, "qwen3-moe": {"norm_topk_prob": True},
    "starcoder2": {"sliding_window": None}, "olmoe": {"num_key_value_heads": 4},
    "exaone4": {"sliding_window": None, "layer_types": ["full_attention"] * 3},
}
# PEFT takes the MLPs of layers without experts for experts, and so loads no adapter on them.
TARGETS = {"qwen3-moe-dense": r".*\.([qkvo]_proj|experts\.\d+\.(gate|up|down)_proj)"}
# Windows of these end the context, Phi-3 needs tokens of its own, and there is no Qwen3-MoE with
# layers without experts.
NOT_IN_LLAMA_CPP = {"mistral", "qwen2", "phi4", "phi3", "qwen3-moe-dense"}
# Its keys and values are rounded to 11 bits.
MARGIN = 0.02


def load(folder):
    return AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float32, attn_implementation="eager").eval()


def make_base(folder, kind, more):
    tokenizer = make_tiny_chat_model(folder)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / name).unlink()
    sizes = {"vocab_size": VOCABULARY, "eos_token_id": END}
    sizes["n_positions" if kind == "GPT2" else "max_position_embeddings"] = 256
    make_model(kind, more | sizes).save_pretrained(str(folder))
    return tokenizer


def logits(model, rows):
    with torch.no_grad():
        return [model(input_ids=torch.tensor([tokens])).logits for tokens, _ in rows]


def mean_loss(model, rows):
    # In evaluation mode: some of the families drop out in training by default.
    total = count = 0
    for (_, labels), found in zip(rows, logits(model, rows)):
        total += torch.nn.functional.cross_entropy(
            found[0, :-1].double(), torch.tensor(labels[1:]), reduction="sum").item()
        count += len(labels) - 1
    return total / count


def check_gguf(work, name, tokenizer, merged):
    file, run = work / f"{name}.gguf", work / f"{name}-run"
    qlora("export", run, "--format", "merged-gguf", "--dtype", "f32", "--output", file)
    check_llama_cpp(f"{name}: merged", tokenizer, merged, file)
    if "experts" not in " ".join(dict(merged.named_parameters())):
        return
    test = work / "test.jsonl"
    found = [evaluate(model, test, "text")["meanNegativeLogLikelihood"]
             for model in (file, work / f"{name}-merged")]
    check(f"{name}: |loss of the GGUF file - of the merged folder|", abs(found[0] - found[1]), 1e-6)
    base, lora = work / f"{name}-base.gguf", work / f"{name}-lora.gguf"
    qlora("export", work / name, "--format", "merged-gguf", "--dtype", "f32", "--output", base)
    qlora("export", run, "--format", "gguf-lora", "--dtype", "f32", "--output", lora)
    check_llama_cpp(f"{name}: adapter", tokenizer, merged, base, lora)


def check_llama_cpp(name, tokenizer, merged, file, lora=None):
    """The log probabilities after a prompt, of the twenty tokens that llama.cpp names."""
    params = CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 256, 1, 0
    params.warmup, params.verbosity = False, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    if lora:
        params.lora_adapters = [CommonAdapterLoraInfo(str(lora), 1.0)]
    server = Server(params)
    differences = []
    for text in ("river stone blue", "one two red", "green cloud", "three tin one"):
        ids = tokenizer.encode(text).ids
        answer = server.handle_completions({
            "prompt": ids, "n_predict": 1, "temperature": 0.0, "n_probs": 20,
            "cache_prompt": False})
        # The server shows nothing where the likeliest token is a part of a character.
        shown = answer["choices"][0]["logprobs"]
        likely = shown["content"][0]["top_logprobs"] if shown else []
        expected = torch.log_softmax(logits(merged, [(ids, None)])[0][0, -1], -1)
        differences += [abs(entry["logprob"] - expected[entry["id"]].item()) for entry in likely]
    require(f"{name}: llama.cpp shows its next token", bool(differences))
    check(f"{name}: worst |log p of llama.cpp - merged|", max(differences, default=0), MARGIN)


def check_family(work, name, kind, more):
    torch.manual_seed(1)
    base = work / name
    tokenizer = make_base(base, kind, more)
    rows = [encoded_text(tokenizer, row) for row in TEST]
    recipe = write_recipe(
        work / f"{name}.json", base, work / "train.jsonl",
        adapter={"targets": TARGETS.get(name, "all-linear")},
        training={"steps": 6, "batchSize": 4,
                  "optimizer": {"type": "adamw", "learningRate": 2e-2},
                  "schedule": {"type": "constant", "warmupSteps": 0}})
    run, merged = work / f"{name}-run", work / f"{name}-merged"
    qlora("train", recipe, "--output", run)
    test = work / "test.jsonl"
    ours = evaluate(base, test, "text", "--adapter", run / "adapter")["meanNegativeLogLikelihood"]
    bare = evaluate(base, test, "text")["meanNegativeLogLikelihood"]
    check(f"{name}: lost against the bare model", ours - bare, -0.05)
    adapted = PeftModel.from_pretrained(load(base), str(run / "adapter")).eval()
    check(f"{name}: |loss - PEFT's|", abs(ours - mean_loss(adapted, rows)), 1e-4)
    qlora("merge", "--model", base, "--adapter", run / "adapter", "--output", merged,
          "--dtype", "fp32")
    whole = load(merged)
    worst = max((a - b).abs().max().item()
                for a, b in zip(logits(whole, rows), logits(adapted, rows)))
    check(f"{name}: worst |merged logit - PEFT's|", worst, 1e-4)
    if name not in NOT_IN_LLAMA_CPP:
        check_gguf(work, name, tokenizer, whole)


def check_golden(work, name):
    """The goldens' adapters and losses, which are made without PEFT, under the names of files."""
    folder = GOLDENS / "families" / name
    golden, adapter = load_file(folder / "golden.safetensors"), work / f"{name}-golden"
    adapter.mkdir()
    modules = [key[len("adapter."):-2] for key in golden
               if key.startswith("adapter.") and key.endswith(".A")]
    save_file(
        {f"base_model.model.{module}.lora_{half}.weight": golden[f"adapter.{module}.{half}"]
         for module in modules for half in "AB"}, str(adapter / "adapter_model.safetensors"))
    write_json(adapter / "adapter_config.json", {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "bias": "none",
        "target_modules": sorted({module.split(".")[-1] for module in modules})})
    model = PeftModel.from_pretrained(load(folder), str(adapter)).eval()
    with torch.no_grad():
        loss = model(input_ids=golden["input_ids"], labels=golden["labels"]).loss.item()
    check(f"{name}: |golden's adapted loss - PEFT's|",
          abs(loss - golden["float32.adapted_loss"].item()), 1e-5)


with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    write_rows(work / "train.jsonl", text_rows(48, seed=1))
    TEST = text_rows(6, seed=2)
    write_rows(work / "test.jsonl", TEST)
    for name, kind, more in CASES:
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        if name not in TARGETS:
            check_golden(work, name)
        if name not in LEFT_OUT:
            check_family(work, name, kind, more | CHANGES.get(name, {}))
finish()
