"""The reference side of the checks: models of transformers in float32, and losses by PyTorch."""

import torch
from common import UNTRAINED

# The models are small, and on a busy machine threads wait for each other.
torch.set_num_threads(1)


def load_causal_model(folder, nf4=False, fp4=False):
    """A transformers model in float32, optionally with a base in 4 bits, doubly quantized."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    arguments = {}
    if nf4 or fp4:
        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="fp4" if fp4 else "nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    return AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float32, device_map="cpu", attn_implementation="eager", **arguments
    )


def loss_sum(model, tokens, labels):
    """The sum of the losses of one row over its labelled tokens, and their count.

    Each row runs alone, so neither padding nor packing is part of the reference.
    """
    # The shift is the model's: position i predicts token i + 1.
    logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, :-1]
    targets = torch.tensor(labels[1:])
    total = torch.nn.functional.cross_entropy(
        logits, targets, ignore_index=UNTRAINED, reduction="sum"
    )
    return total, int((targets != UNTRAINED).sum())


def mean_losses(model, rows):
    """The mean loss of all labelled tokens of `rows`, and of each row; no gradients.

    In training mode, which differs by dropout alone, and there is none: in evaluation mode
    bitsandbytes computes in bfloat16 on some processors, whatever the compute dtype.
    """
    model.train()
    with torch.no_grad():
        found = [loss_sum(model, *row) for row in rows]
    sums = [total.double().item() for total, _ in found]
    counts = [count for _, count in found]
    return sum(sums) / sum(counts), [s / c for s, c in zip(sums, counts)]


def relative(found, expected):
    """The norm of the difference over the norm of what is expected, in double precision."""
    found, expected = found.double(), expected.double()
    return ((found - expected).norm() / expected.norm().clamp_min(1e-30)).item()
