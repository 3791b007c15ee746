"""Makes Tests/Goldens/safetensors, bnb-linear and peft with the reference libraries.

Needs PyPI torch, safetensors, bitsandbytes and peft, and the tiny-llama of make_goldens.py.
usage: make_format_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""
import pathlib
import sys

import bitsandbytes
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
for name in ("safetensors", "peft"):
    (GOLDENS / name).mkdir(parents=True, exist_ok=True)
TYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.float16,
         torch.bfloat16, torch.int32, torch.uint32, torch.float32, torch.float64, torch.int64,
         torch.uint64]

tensors = {}
for number, dtype in enumerate(TYPES):
    tensors[f"b.{number}"] = torch.arange(3).to(dtype)
    tensors[f"a.{number}"] = torch.tensor([[1], [0]]).to(dtype)
tensors['é"\\/x'] = torch.zeros(0, 4)
tensors["scalar"] = torch.tensor(2.5)
save_file(
    tensors, str(GOLDENS / "safetensors/all-types.safetensors"), metadata={"format": "pt\t\x01é"})

torch.manual_seed(0)
for kind, double, dtype in [("nf4", True, torch.bfloat16), ("fp4", False, torch.float32)]:
    weight = torch.randn(37, 61).to(dtype)
    linear = bitsandbytes.nn.Linear4bit(61, 37, bias=False, quant_type=kind)
    linear.weight = bitsandbytes.nn.Params4bit(
        weight, requires_grad=False, quant_type=kind, compress_statistics=double, blocksize=64)
    linear = linear.to("cpu")
    if linear.weight.quant_state is None:
        linear.weight = linear.weight._quantize("cpu")
    state = {f"layer.{name}": value for name, value in linear.state_dict().items()}
    path = GOLDENS / f"safetensors/linear-{kind}.safetensors"
    save_file(state, str(path), metadata={"format": "pt"})

torch.manual_seed(0)
base = LlamaForCausalLM.from_pretrained(str(GOLDENS / "tiny-llama"))
model = get_peft_model(base, LoraConfig(
    r=4, lora_alpha=8, lora_dropout=0.05, target_modules=["q_proj", "v_proj"],
    layers_to_transform=[0], layers_pattern="layers", task_type="CAUSAL_LM"))
model.peft_config["default"].base_model_name_or_path = "models/grüße"
# A set would be written in another order by each process.
model.peft_config["default"].target_modules = ["q_proj", "v_proj"]
model.save_pretrained(str(GOLDENS / "peft"))
(GOLDENS / "peft" / "README.md").unlink(missing_ok=True)
