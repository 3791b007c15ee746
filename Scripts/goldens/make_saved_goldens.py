"""Makes saved/: what torch and PEFT make of modules that are trained as a whole beside adapters.

Bases, tokens and adapters are those of families/. Each file has values for the modules that PEFT's
modules_to_save means, near to the base's own, and on the plain base and on one in NF4 the loss and
the gradient of every such tensor and of every half of the adapter.
usage: make_saved_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""

import pathlib
import sys
import zlib

import peft
import torch
import transformers
from bitsandbytes import functional
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
RANK, ALPHA = 2, 4
# Family, and the ends of names. Heads of smollm3, gemma2 and gpt2 are tied to their embeddings.
CASES = {
    "llama-linear": ["embed_tokens", "lm_head", "norm"],
    "smollm3": ["embed_tokens", "lm_head"],
    "gemma2": ["embed_tokens", "lm_head", "norm"],
    "qwen3": ["q_norm", "k_norm", "lm_head"],
    "gpt-neox": ["layernorm", "final_layer_norm"],
    "granite": ["norm", "embed_tokens"],
    "gpt2": ["wte", "ln_f"],
}


def quantize(model, modules):
    with torch.no_grad():
        for name in modules:
            module = model.get_submodule(name)
            turn = isinstance(module, transformers.pytorch_utils.Conv1D)
            matrix = module.weight.T if turn else module.weight
            packed, state = functional.quantize_4bit(
                matrix.contiguous().reshape(-1, 64), blocksize=64, quant_type="nf4",
                compress_statistics=True)
            found = functional.dequantize_4bit(packed, state).reshape(matrix.shape)
            module.weight.copy_(found.T if turn else found)


def plain(name):
    return name.replace(".modules_to_save.default", "").replace(".default", "")


def make(name, saved):
    folder = FOLDER / "families" / name
    golden = load_file(folder / "golden.safetensors")
    modules = [key.removeprefix("adapter.").removesuffix(".A")
               for key in golden if key.startswith("adapter.") and key.endswith(".A")]
    tensors = {}
    for base in ("float32", "nf4dq"):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float32, attn_implementation="eager")
        if base == "nf4dq":
            quantize(model, modules)
        adapted = peft.get_peft_model(model, peft.LoraConfig(
            task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules=modules,
            modules_to_save=saved, fan_in_fan_out=name == "gpt2")).eval()
        torch.manual_seed(zlib.crc32(name.encode()))
        with torch.no_grad():
            for key, parameter in adapted.named_parameters():
                if "modules_to_save" in key:
                    parameter.add_(0.05 * torch.randn_like(parameter))
                elif parameter.requires_grad:
                    module = plain(key).removeprefix("base_model.model.")
                    half = "A" if "lora_A" in module else "B"
                    parameter.copy_(golden[f"adapter.{module.split('.lora_')[0]}.{half}"])
        loss = adapted(input_ids=golden["input_ids"], labels=golden["labels"],
                       use_cache=False).loss
        loss.backward()
        tensors[f"{base}.loss"] = loss.reshape(1)
        for key, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                if "modules_to_save" in key:
                    tensors["value." + plain(key)] = parameter
                tensors[f"{base}.gradient.{plain(key)}"] = parameter.grad
    (FOLDER / "saved").mkdir(exist_ok=True)
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()},
              str(FOLDER / "saved" / f"{name}.safetensors"), {"modules_to_save": " ".join(saved)})


def main():
    torch.set_num_threads(1)
    for name, saved in CASES.items():
        make(name, saved)
        print(name)


if __name__ == "__main__":
    main()
