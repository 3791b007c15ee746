"""PyTorch's training step on a GPU, for comparison: transformers, PEFT, bitsandbytes.

A Llama of random weights in NF4 with double quantization, rank 16 on all linears, random tokens
that are all labelled: what `qlora-bench step --shape` measures. The weights are made and quantized
on the device, a layer at a time, so nothing is read. Prints one line of JSON with the loss and the
gradient norm of every step; leaves with status 1 where one is no number.
"""

import argparse
import importlib.metadata
import json
import math
import time

import bitsandbytes
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

# Vocabulary, hidden, intermediate, layers, heads, heads of keys, one table for both ends:
# as Sources/QLoRAPipeline/ModelShape.swift has them; the last is for trying this script out.
SHAPES = {
    "smollm2-135m": (49152, 576, 1536, 30, 9, 3, True),
    "llama-8b": (128256, 4096, 14336, 32, 32, 8, False),
    "tiny": (512, 64, 128, 2, 4, 2, True),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def config(shape):
    vocabulary, hidden, wide, layers, heads, key_heads, tied = SHAPES[shape]
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=wide,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=key_heads,
        tie_word_embeddings=tied, max_position_embeddings=8192, use_cache=False,
        attn_implementation="sdpa")


def random(shape, device):
    return torch.randn(shape, device=device, dtype=torch.bfloat16) * 0.02


def quantized(linear, device):
    """A 4-bit linear with random weights."""
    result = bitsandbytes.nn.Linear4bit(
        linear.in_features, linear.out_features, bias=False, compute_dtype=torch.bfloat16,
        compress_statistics=True, quant_type="nf4", device="meta")
    result.weight = bitsandbytes.nn.Params4bit(
        random((linear.out_features, linear.in_features), device), requires_grad=False,
        compress_statistics=True, quant_type="nf4").to(device)
    return result


def model_of(options):
    shape = config(options.shape)
    with torch.device("meta"):
        model = LlamaForCausalLM(shape).to(torch.bfloat16)
    for parent in list(model.model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear):
                setattr(parent, name, quantized(child, options.device))
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                # Norms have one dimension.
                data = (torch.ones(parameter.shape, device=options.device, dtype=torch.bfloat16)
                        if parameter.dim() == 1 else random(parameter.shape, options.device))
                setattr(module, name, torch.nn.Parameter(data, requires_grad=False))
    model.tie_weights()
    model.model.rotary_emb = LlamaRotaryEmbedding(shape).to(options.device)
    model.enable_input_require_grads()
    if options.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    targets = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()
    lora = LoraConfig(r=16, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM")
    return get_peft_model(model, lora).to(options.device).train()


def main():
    options = arguments()
    torch.manual_seed(0)
    on_gpu = options.device == "cuda"
    model = model_of(options)
    # As `prepare_model_for_kbit_training` has it: adapters are trained in float32.
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(trained, lr=0.0)
    vocabulary = SHAPES[options.shape][0]
    tokens = torch.randint(vocabulary, (options.sequences, options.length), device=options.device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds, losses, norms = [], [], []
    for _ in range(options.warmup + options.steps):
        started = time.perf_counter()
        with torch.autocast(options.device, torch.bfloat16):
            loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained, 1.0).item())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    timed = seconds[options.warmup :]
    count = tokens.numel()
    names = "torch transformers peft bitsandbytes".split()
    print(json.dumps({
        "shape": options.shape, "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "checkpointing": options.checkpointing, "tokens": count,
        "tokensPerSecond": count / min(timed), "stepSeconds": timed, "losses": losses,
        "gradientNorms": norms,
        "peakMemoryBytes": torch.cuda.max_memory_reserved() if on_gpu else None,
        "versions": {name: importlib.metadata.version(name) for name in names},
    }))
    if not all(map(math.isfinite, losses + norms)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
