"""Makes optimizers.safetensors: 100 steps of bitsandbytes' own optimizers on a CPU (AdamW, Lion and
SGD, with states in 8 and in 32 bits) and of torch.optim.SGD, on random gradients.

Numbers come from SplitMix64 through exact arithmetic (`draw`), so that a test makes the same ones.
The file holds parameters after some of the steps and the last states: codes and scales whole,
float32 of the large parameter at every 16th element.

usage: make_optimizer_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""
import pathlib
import sys

import bitsandbytes
import numpy
import torch
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
STEPS, LOOKS = 100, (1, 10, 100)
# A parameter with codes, whose last block is short, and one that keeps float32 states.
SIZES = {"large": 4096 + 300, "small": 300}
STRIDES = {"large": 16, "small": 1}
RATE, DECAY = 1e-3, 0.1
MASK = (1 << 64) - 1


class SplitMix64:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


def draw(random, count):
    """Whole numbers of 16 bits with sign, each times a power of two between 2⁻²⁷ and 2⁻¹²."""
    values = numpy.empty(count, dtype=numpy.float32)
    for index in range(count):
        bits = random.next()
        whole = int(bits & 0xFFFF) - 0x8000
        values[index] = numpy.ldexp(numpy.float32(whole), -12 - int((bits >> 16) & 15))
    return values


def make(name, parameters):
    optim = bitsandbytes.optim
    return {
        "adamw8bit": lambda: optim.AdamW8bit(
            parameters, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY),
        "adamw8bit-plain": lambda: optim.AdamW8bit(
            parameters, lr=RATE, betas=(0.8, 0.95), eps=1e-6, weight_decay=0),
        "adamw": lambda: optim.AdamW32bit(
            parameters, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY),
        "lion8bit": lambda: optim.Lion8bit(
            parameters, lr=RATE, betas=(0.9, 0.99), weight_decay=DECAY),
        "lion": lambda: optim.Lion32bit(
            parameters, lr=RATE, betas=(0.9, 0.99), weight_decay=DECAY),
        "sgd-momentum": lambda: optim.SGD32bit(
            parameters, lr=RATE, momentum=0.9, weight_decay=DECAY),
        "sgd-momentum-torch": lambda: torch.optim.SGD(
            parameters, lr=RATE, momentum=0.9, weight_decay=DECAY, foreach=False),
        "sgd": lambda: torch.optim.SGD(parameters, lr=RATE, weight_decay=DECAY, foreach=False),
    }[name]()


NAMES = [
    "adamw8bit", "adamw8bit-plain", "adamw", "lion8bit", "lion", "sgd-momentum",
    "sgd-momentum-torch", "sgd",
]
STATES = ["state1", "absmax1", "state2", "absmax2", "momentum_buffer"]


def run(name, starts, gradients, tensors):
    parameters = {size: torch.nn.Parameter(torch.tensor(starts[size])) for size in SIZES}
    optimizer = make(name, list(parameters.values()))
    for step in range(1, STEPS + 1):
        for size, parameter in parameters.items():
            parameter.grad = torch.tensor(gradients[size][step - 1])
        optimizer.step()
        for size, parameter in parameters.items():
            if step in LOOKS:
                seen = parameter.detach().numpy()[:: STRIDES[size]]
                tensors[f"{name}.{size}.after{step}"] = seen.copy()
    for size, parameter in parameters.items():
        for key in STATES:
            if (value := optimizer.state[parameter].get(key)) is not None:
                stride = 1 if value.dtype == torch.uint8 or "absmax" in key else STRIDES[size]
                tensors[f"{name}.{size}.{key}"] = value.numpy()[::stride].copy()


if __name__ == "__main__":
    torch.set_num_threads(1)
    random = SplitMix64(2022)
    starts = {size: draw(random, count) for size, count in SIZES.items()}
    gradients = {size: [] for size in SIZES}
    for _ in range(STEPS):
        for size, count in SIZES.items():
            gradients[size].append(draw(random, count))
    tensors = {}
    for name in NAMES:
        run(name, starts, gradients, tensors)
    save_file(tensors, FOLDER / "optimizers.safetensors", metadata={
        "bitsandbytes": bitsandbytes.__version__, "torch": torch.__version__})
