#!/usr/bin/env python3
"""Errors of products rounded to 16-bit integers and to bf16, on a model's own activations.

    Scripts/bench/int16_error.py <model folder> <file with token ids>

NF4 weights in blocks of 64. Both directions are compared with float64, per linear, as
root mean square of the error over that of the result. Needs torch, transformers and numpy.
"""

import json
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM

NF4 = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0])
LAYERS = (0, 5, 15, 29)
LINEARS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")


def capture(model, ids):
    """Weight, input and output gradient of each linear, in float64."""
    found = {}
    for name, module in model.named_modules():
        if not any(name == f"model.layers.{i}.{linear}" for i in LAYERS for linear in LINEARS):
            continue

        def forward(module, inputs, _output, name=name):
            found[name] = [module.weight.detach().double().numpy(),
                           inputs[0][0].detach().double().numpy()]

        def backward(_module, _inputs, outputs, name=name):
            found[name].append(outputs[0][0].detach().double().numpy())

        module.register_forward_hook(forward)
        module.register_full_backward_hook(backward)
    model(ids, labels=ids).loss.backward()
    return found


def rounded(x, limit, segment):
    """Nearest of `limit` steps of the largest in each row's segment, or in the row where None."""
    rows = x if segment is None else x.reshape(x.shape[0], -1, segment)
    scale = np.abs(rows).max(-1, keepdims=True)
    scale = np.where(scale == 0, 1, scale) / limit
    return (np.round(rows / scale) * scale).reshape(x.shape)


def codebook(limit):
    """The table in integers by the factor that rounds it best."""
    factors = np.arange(limit // 2, limit + 1)
    integers = np.round(NF4 * factors[:, None]) / factors[:, None]
    return integers[((integers - NF4) ** 2).sum(1).argmin()]


def bf16(x):
    return torch.from_numpy(x).bfloat16().double().numpy()


def errors(weight, x, gradient):
    blocks = weight.reshape(-1, 64)
    absmax = np.abs(blocks).max(1, keepdims=True)
    codes = np.abs((blocks / absmax)[:, :, None] - NF4).argmin(2).reshape(weight.shape)
    scales = np.repeat(absmax.reshape(weight.shape[0], -1), 64, 1)
    w = NF4[codes] * scales
    largest = scales.max(1, keepdims=True)
    results = {"forward float32": x.astype(np.float32) @ w.astype(np.float32).T,
               "forward bf16": bf16(x) @ bf16(w).T,
               "backward float32": gradient.astype(np.float32) @ w.astype(np.float32),
               "backward bf16": bf16(gradient) @ bf16(w)}
    for bits, lanes, limit in (("15+12", 16383, 2047), ("14+13", 8191, 4095)):
        for scope, segment in (("token", None), ("segment", 64)):
            integers = codebook(limit)[codes] * scales
            results[f"forward {bits}, scales per {scope}"] = (
                rounded(x, lanes, segment) @ integers.T)
            results[f"backward {bits}, scales per {scope}"] = (
                rounded(gradient * largest.T, lanes, segment)
                @ (np.round(w / largest * limit) / limit))
    for name, found in results.items():
        exact = x @ w.T if name.startswith("forward") else gradient @ w
        yield name, np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean())


def main():
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
    with open(sys.argv[2]) as file:
        ids = torch.tensor([json.load(file)])
    table = {}
    for weight, x, gradient in capture(model, ids).values():
        for name, error in errors(weight, x, gradient):
            table.setdefault(name, []).append(error)
    for name, values in sorted(table.items()):
        print(f"{name:40} median {np.median(values):.1e}  largest {max(values):.1e}")


if __name__ == "__main__":
    main()
