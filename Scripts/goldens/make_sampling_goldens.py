"""Probabilities that the processors of transformers leave to the tokens of a small vocabulary.

Writes Tests/Goldens/sampling.json: logits, tokens seen before, and for each case its settings and
the probability of every token, 0 where it was filtered out. The fuzzer of requests begins with the
bodies beside it, in fuzz/request; the first byte of those chooses the endpoint.
"""

import itertools
import json
import pathlib
import sys

import numpy
import torch
from transformers.generation import logits_process as processors

HOME = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Goldens"
GOLDENS = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HOME

generator = numpy.random.default_rng(5)
LOGITS = (generator.standard_normal(60) * 3).astype(numpy.float32).round(3)
# Equal tokens where top-k cuts, but not where top-p does: which of equals it keeps is open.
LOGITS[7] = LOGITS[11] = numpy.sort(LOGITS)[-20]
SEEN = [3, 7, int(LOGITS.argmax()), 40, 3, 59]

CASES = [
    dict(zip(("repetitionPenalty", "temperature", "topK", "topP", "minP"), values))
    for values in itertools.product((1, 1.3), (1, 0.6, 1.7), (0, 3, 20), (1, 0.85, 0.5), (0, 0.1))
] + [{"repetitionPenalty": 0.8, "temperature": 0.01, "topK": 1, "topP": 0.01, "minP": 1}]


def probabilities(case):
    """In the order in which transformers applies them."""
    chain = [processors.RepetitionPenaltyLogitsProcessor(float(case["repetitionPenalty"])),
             processors.TemperatureLogitsWarper(float(case["temperature"]))]
    if case["topK"]:
        chain.append(processors.TopKLogitsWarper(case["topK"]))
    if case["topP"] < 1:
        chain.append(processors.TopPLogitsWarper(case["topP"]))
    if case["minP"]:
        chain.append(processors.MinPLogitsWarper(case["minP"]))
    scores = torch.tensor(LOGITS, dtype=torch.float64)[None]
    for processor in chain:
        scores = processor(torch.tensor([SEEN]), scores)
    return [float(f"{p:.9g}") for p in scores.softmax(-1)[0].tolist()]


golden = {
    "logits": [float(str(logit)) for logit in LOGITS],
    "seen": SEEN,
    "cases": [case | {"probabilities": probabilities(case)} for case in CASES],
}
(GOLDENS / "sampling.json").write_text(json.dumps(golden) + "\n")

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
BODIES = {
    "chat": (0, {
        "model": "tiny", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": -3,
        "messages": [
            {"role": "system", "content": "Brief."}, {"role": "user", "content": "Hé <|"},
        ],
    }),
    "tools": (0, {
        "model": "tiny", "stream": True, "stream_options": {"include_usage": True}, "n": 2,
        "tools": [TOOL], "tool_choice": "auto", "logprobs": True, "top_logprobs": 3,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "1", "type": "function",
                 "function": {"name": "look", "arguments": "{\"a\": 1}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "7"},
        ],
    }),
    "text": (1, {"model": "tiny", "prompt": "Once", "stop": ["a", "bc"], "logprobs": 2, "n": 2,
                 "frequency_penalty": -1.5, "presence_penalty": 2, "repetition_penalty": 1.1}),
    "tokens": (1, {"model": "tiny", "prompt": [[1, 2], "x"], "max_tokens": 1, "stop": "\n",
                   "top_k": -1, "min_p": 0.1, "logit_bias": {}, "user": "me"}),
}
folder = GOLDENS / "fuzz" / "request"
folder.mkdir(parents=True, exist_ok=True)
for name, (endpoint, body) in BODIES.items():
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    (folder / name).write_bytes(bytes([endpoint]) + text.encode())
