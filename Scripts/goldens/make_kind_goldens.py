"""Makes Tests/Goldens/kinds/: small tokenizers of every kind (tokenizer_kinds.py) with the ids and
texts that PyPI `tokenizers` and `sentencepiece` give for some hundred strings.

Needs tokenizers and sentencepiece; seeded, repeatable.
usage: make_kind_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""
import json
import pathlib
import random
import sys

import make_tokenizer_goldens as base
import sentencepiece
import tokenizer_kinds
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]

# One of each part; the comparison of random strings has them all.
NAMES = ["llama2", "mistral", "gemma", "phi3", "tekken", "gpt4o", "neox", "clip", "roberta",
         "spelled", "t5", "albert", "unigram-bytes", "bert", "bert-cased", "subwords", "suffixed",
         "words-ctc", "scripts", "chunks", "punctuation-contiguous", "split-merged_with_next",
         "split-merged_with_previous", "spm-llama", "spm-gemma", "spm-unigram-bytes", "spm-suffix"]

WITH_BYTES = {"llama2", "mistral", "gemma", "phi3", "unigram-bytes"}

EXTRA = ["<s>", "</s>", "<unk>", "[INST]", "<bos>", "<|user|>", "<|end|>", "<mask>", "[MASK]",
         "<extra_id_1>", "<0x0A>", "<sep>", "\u2581", "\u2581\u2581", "\n\n", " do not", "``"]


def strings(seed, count=130):
    rng = random.Random(seed)
    words = tokenizer_kinds.WORDS + tokenizer_kinds.OTHER_WORDS
    result = ["", " ", "  a", "a  b ", "\n", "\u2581", "\u2581\u2581x", "<norm> <norm>x", "é" * 70,
              "the" * 40, " " * 80, "\U000323b0\u0378\ue000", "a\u0327\u0301\u0323", "각ᄀ", "\r\n\t"]
    while len(result) < count:
        draws = rng.randint(1, 7)
        pool = [rng.choice([words, base.PIECES, EXTRA + base.CONTROL]) for _ in range(draws)]
        result.append(rng.choice(["", " ", " "]).join(rng.choice(pieces) for pieces in pool))
    return result


def main(output):
    tokenizer_kinds.READS_CHECKOUT = False
    kinds = tokenizer_kinds.kinds()
    for seed, name in enumerate(NAMES):
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        texts = strings(200 + seed)
        if name in kinds:
            data = json.loads(kinds[name](1, 600 if name in WITH_BYTES else 420).to_str())
            text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
            (folder / "tokenizer.json").write_text(text, encoding="utf-8")
            tokenizer = Tokenizer.from_str(text)
            ids = [item.ids for item in tokenizer.encode_batch(texts)]
            decoded = tokenizer.decode_batch(ids, skip_special_tokens=False)
        else:
            model = tokenizer_kinds.train_pieces(name, 1, 600)
            (folder / "tokenizer.model").write_bytes(model)
            pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
            ids = pieces.encode(texts)
            decoded = [pieces.decode(row) for row in ids]
        (folder / "golden.json").write_text(json.dumps(
            {"texts": texts, "ids": ids, "decoded": decoded}, separators=(",", ":")))
        print(name, sum(path.stat().st_size for path in folder.iterdir()) // 1024, "KiB")


if __name__ == "__main__":
    main((pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests" / "Goldens") / "kinds")
