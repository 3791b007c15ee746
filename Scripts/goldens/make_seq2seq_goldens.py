"""Makes seq2seq/: tiny random models that read a text and write another, and what torch and PEFT
make of them.

Each folder has a model of transformers in bfloat16, a tokenizer of letters and words, and
golden.safetensors: packed pairs of texts, an adapter of rank 2 on every linear, and on the plain
base and on one in NF4 (blocks of 64, double quantization, decoded by bitsandbytes; `wo` stays as
it is, as transformers keeps it) the logits of what is written, the loss and the gradient of every
half.
Beside them the tokens that greedy search writes for each text.
usage: make_seq2seq_goldens.py [FOLDER [NAME...]]     (Tests/Goldens and all when none is named)
"""

import copy
import json
import pathlib
import shutil
import sys
import zlib

import peft
import torch
import transformers
from bitsandbytes import functional
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
RANK, ALPHA, VOCABULARY, START, END = 2, 4, 96, 0, 1
# Long enough that distances fall into every kind of bucket, and beyond the last.
READ, WRITTEN = [23, 1, 40], [5, 30, 3]

SIZES = {
    "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2,
    "num_heads": 2, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
    "pad_token_id": 0, "eos_token_id": END, "decoder_start_token_id": START, "dropout_rate": 0.0}
# Name, and what differs from SIZES. From version 1.1 on the head is a table of its own.
CASES = [
    ("t5", {"feed_forward_proj": "relu"}),
    ("t5-gated", {"feed_forward_proj": "gated-gelu", "num_decoder_layers": 3,
                  "tie_word_embeddings": False}),
]
WORDS = "one two three four five red green blue stone river cloud turn count say".split()


def write_tokenizer(folder):
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *letters, "."]
    pieces += ["\u2581" + word for word in WORDS]
    scores = [0.0, 0.0, 0.0] + [-4.0] * (len(letters) + 2) + [-2.0] * len(WORDS)
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores)), 2, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", END)])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>",
        "unk_token": "<unk>"}) + "\n")


def make_model(more):
    config = transformers.T5Config(**(SIZES | more))
    model = transformers.T5ForConditionalGeneration._from_config(
        config, attn_implementation="eager")
    if not more.get("tie_word_embeddings", True):
        model.lm_head.weight = torch.nn.Parameter(torch.empty(VOCABULARY, SIZES["d_model"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if parameter.dim() > 1:
                noise = noise * (0.5 if "shared" in name or "bias" in name else 0.2)
            else:
                noise = 1 + 0.2 * noise
            parameter.copy_(noise.bfloat16().float())
    return model.eval()


def linears(model):
    return [name for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and name != "lm_head"]


def quantize(model):
    with torch.no_grad():
        for name in linears(model):
            if name.endswith(".wo"):
                continue
            matrix = model.get_submodule(name).weight
            packed, state = functional.quantize_4bit(
                matrix.contiguous().reshape(-1, 64), blocksize=64, quant_type="nf4",
                compress_statistics=True)
            matrix.copy_(functional.dequantize_4bit(packed, state).reshape(matrix.shape))


def rows():
    torch.manual_seed(7)
    read = [torch.cat([torch.randint(3, VOCABULARY, (n - 1,)), torch.tensor([END])]) for n in READ]
    written = [torch.cat([torch.randint(3, VOCABULARY, (n - 1,)), torch.tensor([END])])
               for n in WRITTEN]
    return read, written


def outcome(model, read, written):
    """Logits row by row, and the mean of the losses of all that is written."""
    found = [model(input_ids=one[None], labels=other[None], use_cache=False).logits[0]
             for one, other in zip(read, written)]
    loss = torch.nn.functional.cross_entropy(torch.cat(found), torch.cat(written))
    return torch.cat(found), loss


def with_adapter(model):
    config = peft.LoraConfig(
        task_type="SEQ_2_SEQ_LM", r=RANK, lora_alpha=ALPHA, target_modules=linears(model))
    adapted = peft.get_peft_model(model, config).eval()
    torch.manual_seed(11)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_A" in name:
                parameter.copy_((torch.rand_like(parameter) * 2 - 1) / parameter.shape[1] ** 0.5)
            elif "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return adapted


def save(model, folder, more):
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(str(folder))
    (folder / "generation_config.json").unlink(missing_ok=True)
    # As published files are: one table under one name, a head where it is a table of its own, and a
    # configuration that says so.
    state = load_file(folder / "model.safetensors")
    state = {name: value for name, value in state.items() if "embed_tokens" not in name}
    state["shared.weight"] = model.shared.weight.detach().bfloat16()
    tied = more.get("tie_word_embeddings", True)
    state.pop("lm_head.weight", None)
    if not tied:
        state["lm_head.weight"] = model.lm_head.weight.detach().bfloat16().clone()
    save_file(state, str(folder / "model.safetensors"), {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(
        json.dumps(config | {"tie_word_embeddings": tied}, indent=2) + "\n")


def make(name, more):
    torch.manual_seed(zlib.crc32(name.encode()))
    model = make_model(more)
    folder = FOLDER / "seq2seq" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save(model, folder, more)
    write_tokenizer(folder)
    read, written = rows()
    tensors = {"read": torch.cat(read), "written": torch.cat(written),
               "read_lengths": torch.tensor(READ), "written_lengths": torch.tensor(WRITTEN)}
    for base in ("float32", "nf4dq"):
        if base == "nf4dq":
            quantize(model)
        tensors[f"{base}.logits"], loss = outcome(model, read, written)
        tensors[f"{base}.loss"] = loss.reshape(1)
        answers = [model.generate(
            input_ids=one[None], max_new_tokens=12, do_sample=False, num_beams=1,
            use_cache=False)[0, 1:]
            for one in read]
        tensors[f"{base}.answers"] = torch.nn.utils.rnn.pad_sequence(
            answers, batch_first=True, padding_value=-1)
        adapted = with_adapter(copy.deepcopy(model))
        _, loss = outcome(adapted, read, written)
        loss.backward()
        tensors[f"{base}.adapted_loss"] = loss.reshape(1)
        for parameter, value in adapted.named_parameters():
            if value.requires_grad:
                plain = parameter.replace(".default", "")
                tensors[f"adapter.{plain}"] = value
                tensors[f"{base}.gradient.{plain}"] = value.grad
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()},
              str(folder / "golden.safetensors"))
    # What the library makes of the files is what was computed with.
    again = transformers.T5ForConditionalGeneration.from_pretrained(str(folder)).float().eval()
    torch.manual_seed(zlib.crc32(name.encode()))
    found, _ = outcome(again, read, written)
    assert torch.allclose(found, tensors["float32.logits"], atol=1e-5), name


def main():
    torch.set_num_threads(1)
    for name, more in CASES:
        if len(sys.argv) < 3 or name in sys.argv[2:]:
            make(name, more)
            print(name)


if __name__ == "__main__":
    main()
