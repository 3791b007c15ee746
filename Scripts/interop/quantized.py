"""What the checks of quantized folders share: the libraries' settings, tensors and outputs."""

import pathlib

import torch
import transformers
from common import check, require
from reference import relative
from safetensors.torch import load_file

# How long the sum behind a nested offset is cut depends on the threads.
torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()


def settings(kind="nf4", double=True, library=transformers, **more):
    return library.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=torch.float32, **more)


def flags(kind, double):
    return ["--type", kind, *([] if double else ["--no-double-quant"])]


def tensors(folder):
    files = pathlib.Path(folder).glob("*.safetensors")
    return {k: v for file in files for k, v in load_file(file).items()}


def as_bytes(tensor):
    return tensor.contiguous().flatten().view(torch.uint8)


def compare_bytes(name, ours, theirs):
    found, expected = tensors(ours), tensors(theirs)
    wrong = [
        k for k in expected
        if k not in found or found[k].dtype != expected[k].dtype
        or found[k].shape != expected[k].shape
        or not torch.equal(as_bytes(found[k]), as_bytes(expected[k]))
    ]
    require(f"{name}: {len(expected)} tensors byte for byte", found.keys() == expected.keys()
            and not wrong)
    for key in wrong[:3]:
        print(f"  {key}")


def compare_outputs(name, forward, ours, theirs):
    with torch.no_grad():
        check(f"{name}: outputs, relative", relative(forward(ours), forward(theirs)), 1e-6)
