"""Makes classifiers/: tiny random models that tell classes apart, and what torch and PEFT make of
them.

Each folder has the base in bfloat16 without its head and golden.safetensors: rows of several
lengths, packed, with token types and classes, an adapter of rank 2 on every linear, the head, and
on the plain base and on one in NF4 (blocks of 64, double quantization, decoded by bitsandbytes) the
logits, the loss and the gradients of every half of the adapter and of the head. All parameters are
random. PEFT puts the adapter and the head on the model. Beside them lies a tokenizer of letters
and some words, with what PyPI's tokenizers makes of texts and pairs, cut and uncut.
usage: make_classifier_goldens.py [FOLDER [NAME...]]     (Tests/Goldens and all when none is named)
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
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens"
RANK, ALPHA, VOCABULARY, CLASSES = 2, 4, 96, 3
LENGTHS = [7, 4, 11, 1, 9]

SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 24, "num_labels": CLASSES}
# Name, class of transformers, and what differs from SIZES.
CASES = [
    ("bert", "Bert", {"pad_token_id": 0}),
    ("roberta", "Roberta", {"pad_token_id": 1, "type_vocab_size": 1}),
    ("distilbert", "DistilBert", {
        "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "pad_token_id": 0,
        "seq_classif_dropout": 0.0}),
    ("llama", "Llama", {"num_key_value_heads": 2, "pad_token_id": 0}),
    ("qwen2", "Qwen2", {"num_key_value_heads": 2, "pad_token_id": 0}),
]


WORDS = ("a good bad film the plot is was fine dull and not very i liked it hated this of "
         "story end").split()
TEXTS = [("A good film.", None), ("the plot is dull", "the end was fine"), ("", None),
         ("I liked it, and this story of the film is very very good", None),
         ("good", "I hated the very dull story and the bad end of it"),
         ("the film the film the film the film", "dull dull dull dull dull dull"),
         ("not [SEP] this", "zig")]


def make_tokenizer(name):
    first = ["[CLS]", "[PAD]", "[SEP]", "[UNK]"] if name == "roberta" else [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = first + list(letters) + ["##" + letter for letter in letters] + [".", ","] + WORDS[1:]
    vocabulary = {word: place for place, word in enumerate(words)}
    assert len(vocabulary) <= VOCABULARY, len(vocabulary)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(first)
    begin, end = ("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])
    if name in ("bert", "distilbert"):
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[begin, end])
    if name == "roberta":
        tokenizer.post_processor = processors.RobertaProcessing(end, begin, False, False)
    if name == "llama":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A", pair="[CLS] $A [CLS]:1 $B:1", special_tokens=[begin])
    return tokenizer


def write_tokenizer(name, folder):
    tokenizer = make_tokenizer(name)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]",
        "unk_token": "[UNK]"}) + "\n")
    found = []
    for limit in (64, 12, 7, 6):
        tokenizer.enable_truncation(limit)
        for text, pair in TEXTS:
            # A special token in a text is ordinary text here.
            safe = [part and part.replace("[SEP]", "sep") for part in (text, pair)]
            ids = tokenizer.encode(*[part for part in safe if part is not None]).ids
            found.append({"limit": limit, "text": safe[0], "pair": safe[1], "ids": ids})
    (folder / "encodings.json").write_text(json.dumps(found) + "\n")


def make_model(kind, more):
    config = getattr(transformers, kind + "Config")(**(SIZES | more))
    model = getattr(transformers, kind + "ForSequenceClassification")._from_config(
        config, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if parameter.dim() > 1:
                noise = noise * (0.5 if "emb" in name else 0.2)
            elif name.endswith("weight"):
                noise = 1 + 0.2 * noise
            else:
                noise = 0.2 * noise
            parameter.copy_(noise.bfloat16().float())
    return model.eval()


def is_head(name):
    return name.startswith(("classifier", "pre_classifier", "score"))


def linears(model):
    return [name for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and not is_head(name)]


def quantize(model):
    """Every linear in NF4 and back, by the library's own decoder."""
    with torch.no_grad():
        for name in linears(model):
            matrix = model.get_submodule(name).weight
            packed, state = functional.quantize_4bit(
                matrix.contiguous().reshape(-1, 64), blocksize=64, quant_type="nf4",
                compress_statistics=True)
            matrix.copy_(functional.dequantize_4bit(packed, state).reshape(matrix.shape))


def rows(model):
    torch.manual_seed(7)
    # Zero is padding, which no row has.
    tokens = [torch.randint(2, VOCABULARY, (length,)) for length in LENGTHS]
    two = getattr(model.config, "type_vocab_size", 0) > 1
    types = [(torch.arange(length) >= length // 2).long() * two for length in LENGTHS]
    return tokens, types, torch.tensor([0, 2, 1, 2, 0])


def logits(model, tokens, types):
    two = getattr(model.config, "type_vocab_size", 0) > 1
    return torch.cat([
        model(input_ids=ids[None], **({"token_type_ids": kinds[None]} if two else {})).logits
        for ids, kinds in zip(tokens, types)])


def with_adapter(model, targets):
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=RANK, lora_alpha=ALPHA, target_modules=targets)
    adapted = peft.get_peft_model(model, config).eval()
    torch.manual_seed(11)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_A" in name:
                parameter.copy_((torch.rand_like(parameter) * 2 - 1) / parameter.shape[1] ** 0.5)
            elif "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return adapted


def plain(name):
    return name.replace(".modules_to_save.default", "").replace(".default", "")


def make(name, kind, more):
    torch.manual_seed(zlib.crc32(name.encode()))
    model = make_model(kind, more)
    folder = FOLDER / "classifiers" / name
    shutil.rmtree(folder, ignore_errors=True)
    base = copy.deepcopy(model).to(torch.bfloat16)
    state = {key: value for key, value in base.state_dict().items() if not is_head(key)}
    base.save_pretrained(str(folder), state_dict=state)
    (folder / "generation_config.json").unlink(missing_ok=True)
    write_tokenizer(name, folder)
    tokens, types, classes = rows(model)
    tensors = {"tokens": torch.cat(tokens), "types": torch.cat(types), "classes": classes,
               "lengths": torch.tensor(LENGTHS)}
    for base in ("float32", "nf4dq"):
        if base == "nf4dq":
            quantize(model)
        adapted = with_adapter(copy.deepcopy(model), linears(model))
        found = logits(adapted, tokens, types)
        loss = torch.nn.functional.cross_entropy(found, classes)
        loss.backward()
        tensors[f"{base}.logits"], tensors[f"{base}.loss"] = found, loss.reshape(1)
        for parameter, value in adapted.named_parameters():
            if value.requires_grad:
                tensors[f"adapter.{plain(parameter)}"] = value
                tensors[f"{base}.gradient.{plain(parameter)}"] = value.grad
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()},
              str(folder / "golden.safetensors"))


def main():
    torch.set_num_threads(1)
    for name, kind, more in CASES:
        if len(sys.argv) < 3 or name in sys.argv[2:]:
            make(name, kind, more)
            print(name)


if __name__ == "__main__":
    main()
