"""PyTorch's and bitsandbytes' kernels on this CPU: dense products, the 4-bit linear, quantization.

Prints one line of JSON: the fastest of several rounds each. Run under the variables that limit
instruction sets, the dense products show whether those took effect.
"""

import argparse
import json
import time

import bitsandbytes
import bitsandbytes.functional as quantizer
import torch

SIDE = 4096


def fastest(body, rounds):
    """Seconds of the fastest round, after one that warms up."""
    best = float("inf")
    for turn in range(rounds + 1):
        started = time.perf_counter()
        body()
        if turn:
            best = min(best, time.perf_counter() - started)
    return best


def dense(dtype, rounds, side=1024):
    """Gigaflops of a square product."""
    left, right = torch.randn(side, side, dtype=dtype), torch.randn(side, side, dtype=dtype)
    return 2 * side**3 / fastest(lambda: left @ right, rounds) / 1e9


def four_bit_linear(dtype, rounds):
    """Seconds of one token through a frozen 4-bit linear."""
    layer = bitsandbytes.nn.Linear4bit(
        SIDE, SIDE, bias=False, compute_dtype=dtype, compress_statistics=True, quant_type="nf4")
    layer = layer.to("cpu")
    x = torch.randn(1, SIDE, dtype=dtype)
    with torch.no_grad():
        return fastest(lambda: layer(x), rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    weight = torch.randn(SIDE, SIDE)
    quantizing = fastest(
        lambda: quantizer.quantize_4bit(
            weight, blocksize=64, quant_type="nf4", compress_statistics=True),
        max(1, options.rounds // 3))
    print(json.dumps({
        "capability": torch.backends.cpu.get_cpu_capability(),
        "float32Gigaflops": dense(torch.float32, options.rounds),
        "bfloat16Gigaflops": dense(torch.bfloat16, options.rounds),
        "linearSeconds": {
            "float32": four_bit_linear(torch.float32, options.rounds),
            "bfloat16": four_bit_linear(torch.bfloat16, options.rounds),
        },
        "quantizeGigabytesPerSecond": 4 * SIDE * SIDE / quantizing / 1e9,
    }))


if __name__ == "__main__":
    main()
