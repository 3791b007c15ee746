"""What qlora exports for llama.cpp, loaded by llama.cpp: the next token of fifty prompts.

Adapters trained for some steps at a high rate, so that they change answers, are used merged (F16,
Q8_0) and as a LoRA file on a base that qlora wrote too: from float32 files, from bitsandbytes'
4 bits, and from GGUF. llama.cpp computes with other roundings than qlora, so where the two choose
another token, the one that qlora chose must be as likely there within a margin.
"""

import json
import pathlib
import shutil
import tempfile

import numpy
import torch
from common import FLOAT32, MODEL, ROOT, check, finish, qlora, require, write_recipe, write_rows
from gguf import GGUFReader, quants
from gguf.constants import GGMLQuantizationType
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from xllamacpp import CommonAdapterLoraInfo, CommonParams, Server

ROWS = ROOT / "Datasets" / "tool-calls"
PROMPTS = 50
SPARE = 5
# Differences of logarithms of probabilities. F16 products round activations to 11 bits; Q8_0
# products to 8 bits in blocks of 32.
MARGIN = {"f32": 0.02, "f16": 0.05, "bf16": 0.15, "q8_0": 0.5}
END = "<|im_end|>"


def prompts():
    """Half of them chats that the adapters are trained on, half the beginnings of other texts."""
    lines = (ROWS / "test.jsonl").read_text(encoding="utf-8").splitlines()
    # Not those whose answers begin with a part of a character, which the server does not show.
    lines = [line for line in lines if line.isascii() and "translate" not in line]
    rows = [json.loads(line)["messages"] for line in lines[: PROMPTS // 2 + SPARE]]
    chats = [
        "".join(f"<|im_start|>{m['role']}\n{m['content']}{END}\n" for m in row[:-1])
        + "<|im_start|>assistant\n"
        for row in rows
    ]
    words = (ROOT / "Docs" / "Architecture.md").read_text(encoding="utf-8").split()
    texts = [" ".join(words[i * 20 : i * 20 + 12]) for i in range(PROMPTS // 2)]
    return chats + texts


def train(work, name, base, steps, rate, **adapter):
    recipe = write_recipe(
        work / f"{name}.json", base, ROWS / "train.jsonl", form="messages", adapter=adapter,
        training={"steps": steps, "batchSize": 2,
                  "optimizer": {"type": "adamw", "learningRate": rate}},
    )
    qlora("train", recipe, "--output", work / name)
    return work / name


def changed(work, name, run, change, config=lambda values: None):
    """A copy of a run's adapter with other numbers and another configuration."""
    folder = work / name
    folder.mkdir()
    tensors = load_file(run / "adapter" / "adapter_model.safetensors")
    save_file({k: change(k, v) for k, v in tensors.items()},
              folder / "adapter_model.safetensors", metadata={"format": "pt"})
    values = json.loads((run / "adapter" / "adapter_config.json").read_text())
    config(values)
    (folder / "adapter_config.json").write_text(json.dumps(values, indent=2))
    return folder


def base_folder(work):
    """The float32 files beside the tokenizer and template of the GGUF file that they are from."""
    qlora("quantize", MODEL, "--output", work / "four")
    folder = work / "base"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(FLOAT32 / name, folder / name)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(work / "four" / name, folder / name)
    return folder


def qlora_choices(work, model, adapter=None):
    """Of each prompt: its ids and the token that qlora finds most likely after it."""
    out = work / "tokens.jsonl"
    out.unlink(missing_ok=True)
    more = ("--adapter", adapter) if adapter else ()
    qlora("eval", "--model", model, *more, "--data", work / "prompts.jsonl", "--format", "text",
          "--quantization", "none", "--compute-dtype", "float32", "--tokens", out, "--json")
    lines = map(json.loads, out.read_text().splitlines())
    # A row of text ends with a token of its own, which is not the prompt's.
    return [(line["tokens"][:-1], line["mostLikely"][-1]) for line in lines]


def llama_choices(model, texts, lora=None):
    """What llama.cpp gives after each text: its twenty likeliest tokens, best first."""
    params = CommonParams()
    params.model.path = str(model)
    params.n_ctx = 1024
    params.n_parallel = 1
    params.warmup = False
    params.n_gpu_layers = 0
    params.cache_prompt = False
    params.verbosity = 0
    # Its threads wait for each other by spinning, which a busy machine punishes.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    if lora:
        params.lora_adapters = [CommonAdapterLoraInfo(str(lora), 1.0)]
    server = Server(params)
    answers = []
    for text in texts:
        answer = server.handle_completions({
            "prompt": text, "n_predict": 1, "temperature": 0.0, "n_probs": 20,
            "cache_prompt": False,
        })
        shown = answer["choices"][0]["logprobs"]
        place = shown["content"][0]["top_logprobs"] if shown else []
        likely = [(entry["id"], entry["logprob"]) for entry in place]
        answers.append((answer["usage"]["prompt_tokens"], likely))
    del server
    return answers


def compare(name, type_name, expected, found):
    """Counts equal tokens and judges the others by how little llama.cpp prefers its own."""
    counts = [len(ids) == evaluated for (ids, _), (evaluated, _) in zip(expected, found)]
    require(f"{name}: llama.cpp splits {len(counts)} prompts into as many tokens", all(counts))
    equal, worst = 0, 0.0
    hidden = sum(not likely for _, likely in found)
    check(f"{name}: prompts whose next token the server does not show", hidden, 0)
    for (_, token), (_, likely) in zip(expected, found, strict=True):
        if not likely:
            continue
        equal += likely[0][0] == token
        worst = max(worst, likely[0][1] - dict(likely).get(token, -numpy.inf))
    print(f"{name}: same next token on {equal} of {len(expected)} prompts")
    check(f"{name}: |log p| by which llama.cpp prefers another", worst, MARGIN[type_name])


def rounded(values):
    """As a Q8_0 matrix has them."""
    blocks = quants.quantize(values.numpy(), GGMLQuantizationType.Q8_0)
    return torch.from_numpy(quants.dequantize(blocks, GGMLQuantizationType.Q8_0))


def rounded_input(_, arguments):
    """What llama.cpp multiplies a Q8_0 matrix by: 8 bits in blocks of 32."""
    values = arguments[0]
    return (rounded(values.reshape(-1, values.shape[-1])).reshape(values.shape),)


@torch.no_grad()
def explain_q8(base, expected):
    """Who differs in Q8_0: PyTorch with the file's weights agrees with qlora, and, with activations
    rounded as llama.cpp rounds them, no longer with itself."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    for matrix in (p for p in model.parameters() if p.dim() == 2):
        matrix.copy_(rounded(matrix))

    def equal():
        return sum(
            int(model(torch.tensor([ids])).logits[0, -1].argmax()) == token
            for ids, token in expected)

    exact = equal()
    require(f"Q8_0: PyTorch, the same next token on {exact} of {len(expected)} prompts",
            exact == len(expected))
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(rounded_input)
    print(f"Q8_0: PyTorch with activations in 8 bits: on {equal()} of {len(expected)}")


def export(work, source, name, form, *more):
    path = work / name
    # Copies of adapters lie in no run that knows their base.
    base = ("--model", work / "base") if (source / "adapter_config.json").exists() else ()
    qlora("export", source, "--format", form, "--output", path, *base, *more)
    return path


def compare_file(path, expected_type):
    """Metadata and tensors as PyPI gguf reads them."""
    reader = GGUFReader(path)
    types = {t.tensor_type.name for t in reader.tensors if len(t.shape) > 1}
    require(f"{path.name}: matrices are {expected_type}", types == {expected_type})
    vectors = {t.tensor_type.name for t in reader.tensors if len(t.shape) == 1}
    require(f"{path.name}: vectors are F32", vectors == {"F32"})
    text = reader.fields["tokenizer.chat_template"].contents()
    base = GGUFReader(MODEL)
    require(f"{path.name}: the base's chat template",
            text.strip() == base.fields["tokenizer.chat_template"].contents().strip())
    for key in ("tokenizer.ggml.pre", "tokenizer.ggml.model", "tokenizer.ggml.tokens",
                "tokenizer.ggml.merges", "tokenizer.ggml.token_type", "llama.rope.freq_base",
                "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"):
        require(f"{path.name}: {key} as the base's",
                reader.fields[key].contents() == base.fields[key].contents())
    return reader


def compare_numbers(path, folder, dtype, config):
    """Every matrix against the merged folder's own float32 numbers, encoded by PyPI gguf."""
    plain = load_file(folder / "model.safetensors")
    names = json.loads((folder / "names.json").read_text())
    wrong = []
    for tensor in GGUFReader(path).tensors:
        values = plain[names[tensor.name]].float().numpy()
        if len(tensor.shape) == 1:
            same = numpy.array_equal(tensor.data, values)
        else:
            heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
            for part, key in heads.items():
                if f".{part}." in tensor.name:
                    count = config[key]
                    half = values.shape[0] // count // 2
                    values = values.reshape(count, 2, half, -1).swapaxes(1, 2).reshape(
                        values.shape)
            expected = quants.quantize(numpy.ascontiguousarray(values), dtype)
            same = expected.tobytes() == tensor.data.tobytes()
        if not same:
            wrong.append(tensor.name)
    check(f"{path.name}: tensors with other bytes than PyPI gguf gives them", len(wrong), 0)
    return wrong


def gguf_names(path, count):
    """Hugging Face names of a file's tensors, by PyPI gguf's own table."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    table = get_tensor_name_map(MODEL_ARCH.LLAMA, count)
    names = {}
    for name in load_file(path).keys():
        module, kind = name.rsplit(".", 1)
        names[f"{table.get_name(module)}.{kind}"] = name
    return names


with tempfile.TemporaryDirectory() as temporary:
    work = pathlib.Path(temporary)
    texts = prompts()
    config = json.loads((FLOAT32 / "config.json").read_text())

    base = base_folder(work)
    run = train(work, "run", base, steps=12, rate=1e-3, rank=4, alpha=24)
    wide = train(
        work, "wide", base, steps=8, rate=1e-2, rank=16, alpha=8, targets=["q_proj", "v_proj"])
    def patterned(values):
        # Another alpha for k, another scale for all.
        values["alpha_pattern"] = {"k_proj": 40, "layers.3.mlp.up_proj": 6}
        values["use_rslora"] = True
        values["lora_alpha"] = 10

    odd = changed(work, "odd", run, lambda name, tensor: tensor, patterned)
    zero = changed(work, "zero", run, lambda name, tensor: tensor,
                   lambda values: values.update(lora_alpha=0))

    bases = {t: export(work, base, f"base-{t}.gguf", "merged-gguf", "--dtype", t)
             for t in ("f32", "f16", "bf16", "q8_0")}
    shown = llama_choices(bases["f32"], texts)
    texts = [text for text, (_, likely) in zip(texts, shown) if likely][-PROMPTS:]
    require(f"{PROMPTS} prompts", len(texts) == PROMPTS)
    write_rows(work / "prompts.jsonl", [{"text": text} for text in texts])
    for type_name, path in bases.items():
        compare_file(path, type_name.upper())
        expected = qlora_choices(work, path)
        compare(f"base {type_name}", type_name, expected, llama_choices(path, texts))
        if type_name == "q8_0":
            explain_q8(base, expected)
    base_tokens = [token for _, token in qlora_choices(work, base)]

    for name, adapter in (("rank 4", run), ("rank 16", wide), ("patterns, rsLoRA", odd),
                          ("alpha 0", zero)):
        slug = name.split(",")[0].replace(" ", "-")
        lora = export(work, adapter, f"{slug}-lora.gguf", "gguf-lora")
        reader = GGUFReader(lora)
        require(f"{slug}: adapter.type",
                reader.fields["adapter.type"].contents() == "lora"
                and reader.fields["general.type"].contents() == "adapter")
        folder = adapter / "adapter" if (adapter / "adapter").exists() else adapter
        expected = qlora_choices(work, bases["f32"], folder)
        tokens = [token for _, token in expected]
        differing = sum(a != b for a, b in zip(tokens, base_tokens))
        if name != "alpha 0":
            require(f"{name}: the adapter matters, {differing} prompts end otherwise",
                    differing >= 5)
        compare(f"{name}, LoRA on F32", "f32", expected,
                llama_choices(bases["f32"], texts, lora))
        if adapter in (run, odd):
            for type_name in ("f16", "q8_0"):
                more = ("--dtype", type_name)
                merged = export(work, adapter, f"{slug}-{type_name}.gguf", "merged-gguf", *more)
                compare_file(merged, type_name.upper())
                compare(f"{name}, merged {type_name}", type_name,
                        qlora_choices(work, merged), llama_choices(merged, texts))

    # Bytes: the merged folder in float32, encoded by PyPI gguf.
    qlora("merge", "--adapter", run / "adapter", "--output", work / "plain", "--dtype", "fp32",
          "--model", base)
    names = gguf_names(work / "plain" / "model.safetensors", config["num_hidden_layers"])
    (work / "plain" / "names.json").write_text(json.dumps(names))
    compare_numbers(work / "rank-4-f16.gguf", work / "plain", GGMLQuantizationType.F16, config)
    compare_numbers(work / "rank-4-q8_0.gguf", work / "plain", GGMLQuantizationType.Q8_0, config)

    # From 4 bits, as bitsandbytes decodes them; and with its own metadata, from a GGUF file.
    qlora("quantize", base, "--output", work / "nf4", "--dtype", "bf16")
    qlora("dequantize", work / "nf4", "--output", work / "decoded", "--dtype", "fp32")
    (work / "decoded" / "names.json").write_text(json.dumps(names))
    for type_name, kind in (("f32", GGMLQuantizationType.F32), ("bf16", GGMLQuantizationType.BF16)):
        path = export(work, work / "nf4", f"nf4-{type_name}.gguf", "merged-gguf", "--dtype",
                      type_name)
        compare_file(path, type_name.upper())
        compare_numbers(path, work / "decoded", kind, config)
        compare(f"nf4 {type_name}", type_name, qlora_choices(work, path),
                llama_choices(path, texts))
    again = export(work, MODEL, "again.gguf", "merged-gguf", "--dtype", "f16")
    compare_file(again, "F16")
    compare("GGUF base f16", "f16", qlora_choices(work, again), llama_choices(again, texts))
finish()
