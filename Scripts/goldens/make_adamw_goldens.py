"""Makes adamw.json: parameters after steps of torch.optim.AdamW's single-tensor loop on a CPU, as
the bits of each float32.

usage: make_adamw_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""
import json
import pathlib
import sys

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
COUNT, STEPS = 37, 5
CASES = [
    dict(lr=2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.0),
    dict(lr=3e-3, betas=(0.4, 0.99), eps=1e-8, weight_decay=0.1),
]


def bits(tensor):
    return [value & 0xFFFFFFFF for value in tensor.detach().view(torch.int32).tolist()]


def run(case, seed):
    random = torch.Generator().manual_seed(seed)
    parameter = torch.nn.Parameter(torch.randn(COUNT, generator=random))
    optimizer = torch.optim.AdamW([parameter], foreach=False, fused=False, **case)
    record = dict(case, start=bits(parameter), gradients=[], parameters=[])
    for _ in range(STEPS):
        exponents = torch.randint(-6, 3, (COUNT,), generator=random).float()
        parameter.grad = torch.randn(COUNT, generator=random) * 10**exponents
        parameter.grad[3] = 0
        optimizer.step()
        record["gradients"].append(bits(parameter.grad))
        record["parameters"].append(bits(parameter))
    state = optimizer.state[parameter]
    return dict(record, firstMoment=bits(state["exp_avg"]), secondMoment=bits(state["exp_avg_sq"]))


if __name__ == "__main__":
    golden = dict(torch=torch.__version__, cases=[run(case, i) for i, case in enumerate(CASES)])
    with (FOLDER / "adamw.json").open("w") as file:
        json.dump(golden, file)
        file.write("\n")
