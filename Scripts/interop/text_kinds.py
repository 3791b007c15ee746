"""Compares our tokenizers of every kind with PyPI `tokenizers` and `sentencepiece`: ids, decoded
text and text decoded as it comes, on strings of all planes of Unicode, broken UTF-8 and long runs.

Run: python Scripts/interop/text_kinds.py [--count 100000] [--seed 1] [--size 2000] [KIND…]
The vocabularies are trained here (Scripts/goldens/tokenizer_kinds.py). Our side is a Swift test,
which is built in release where need be. Exits 1 at any difference.
"""
import argparse
import gc
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unicodedata

import sentencepiece
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "goldens"))
sys.path.insert(0, str(ROOT / "Scripts" / "interop"))
import text_parity  # noqa: E402
import tokenizer_kinds  # noqa: E402

# These run expressions by the system's Oniguruma, whose tables may be older than those that the
# reference brings: characters that Python's own tables do not know are left out of their strings.
BY_ENGINE = {"clip", "albert", "subwords", "deepseek", "falcon", "qwen35",
             "kimi", "chameleon", "jais2", "youtu", "laguna", "afmoe"} | {
    name for name in tokenizer_kinds.kinds() if name.startswith("split-")}

CONTROL = ["<s>", "</s>", "<unk>", "[INST]", "[/INST]", "<bos>", "<start_of_turn>", "<|user|>",
           "<|end|>", "<|endoftext|>", "<|startoftext|>", "<mask>", "[MASK]", "[CLS]",
           "<extra_id_1>", "<norm>", "<table>", "</b>", "<0x0A>", "<sep>", "abc", "the",
           "\u2581", "\u2581\u2581", "\n\n", " do not", " n't", "``", "''", "##", "</w>", "|"]

# Characters that compose, decompose and change places.
COMBINING = [0x300, 0x301, 0x323, 0x327, 0x345, 0x1100, 0x1161, 0x11A8, 0xAC00, 0x41, 0x65, 0xF71,
             0xF72, 0xF73, 0x9C7, 0x9BE, 0xFB01, 0x2126, 0x1E9B, 0x3099, 0x304B, 0x0D, 0x0A, 0x20,
             0x200D]


def random_text(rng):
    kind = rng.random()
    if kind < 0.25:
        return text_parity.random_string(rng)
    if kind < 0.28:
        unit = rng.choice(["a", " ", "the", "\u2581", "\n", "é", "e\u0301", "日本", "🙂", "\x00",
                           "'", "1", text_parity.scalar(rng)])
        return unit * rng.choice([30, 100, 300, 700])
    if kind < 0.4:
        broken = bytes(
            rng.randrange(256) if rng.random() < 0.5 else rng.choice(b"ab \xe2\x96\x81\xc3\xf0")
            for _ in range(rng.choice([1, 4, 12, 40])))
        return broken.decode("utf-8", errors="replace")
    if kind < 0.5:
        return "".join(chr(rng.choice(COMBINING)) for _ in range(rng.randint(1, 14)))
    words = tokenizer_kinds.WORDS + tokenizer_kinds.OTHER_WORDS
    parts = []
    for _ in range(rng.randint(1, 16)):
        draw = rng.random()
        parts.append(rng.choice(words) if draw < 0.6 else rng.choice(CONTROL) if draw < 0.7
                     else text_parity.scalar(rng) if draw < 0.8
                     else rng.choice([" ", "  ", "\n", "\t", ".", ",", " .", "-", "123"]))
    return rng.choice(["", " ", " "]).join(parts)


def only_old(text):
    return "".join("?" if unicodedata.category(one) == "Cn" else one for one in text)


def strings(options):
    """The strings of all kinds, and those of kinds that an engine's tables decide."""
    rng = random.Random(options.seed)
    texts = [random_text(rng) for _ in range(options.count)]
    return texts, [only_old(text) for text in texts]


def prepare(place, name, texts, options):
    """Writes a tokenizer, strings, and what the reference makes of them."""
    kinds = tokenizer_kinds.kinds()
    place.mkdir()
    if name in kinds:
        tokenizer = kinds[name](options.seed, options.size)
        tokenizer.save(str(place / "tokenizer.json"))
        # As it is read back: a file holds less than an object in memory.
        tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
        ids = [item.ids for item in tokenizer.encode_batch(texts)]
        decoded = tokenizer.decode_batch(ids, skip_special_tokens=False)
    else:
        model = tokenizer_kinds.train_pieces(name, options.seed, options.size)
        (place / "tokenizer.model").write_bytes(model)
        # Control tokens are none of sentencepiece's business.
        (place / "plain").write_text("")
        pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
        ids = pieces.encode(texts)
        decoded = [pieces.decode(row) for row in ids]
    (place / "strings.json").write_text(json.dumps(texts))
    # Beside the strings, not in memory: forty kinds of them would take gigabytes.
    (place / "wanted.json").write_text(json.dumps([ids, decoded]))


def compare(place):
    """How many strings of a kind differ, after saying so."""
    name = place.name
    path = place / "result.json"
    if not path.exists():
        print(f"{name}: no result")
        return 1
    texts = json.loads((place / "strings.json").read_text())
    ids, decoded = json.loads((place / "wanted.json").read_text())
    rows = json.loads(path.read_text())
    wrong = []
    for text, row, text_ids, whole in zip(texts, rows, ids, decoded, strict=True):
        for key, expected in (("ids", text_ids), ("text", whole), ("streamed", whole)):
            if row[key] != expected:
                wrong.append((key, text, expected, row[key]))
                break
    print(f"{name}: {len(texts)} strings, {len(wrong)} differ")
    for key, text, expected, found in wrong[:3]:
        print("  ", key, ascii(text)[:300], "\n     expected", ascii(expected)[:300],
              "\n     found   ", ascii(found)[:300])
    return len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("kinds", nargs="*")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="qlora-text-kinds-"))
    names = options.kinds or [*tokenizer_kinds.kinds(), *tokenizer_kinds.PIECES]
    texts, old_texts = strings(options)
    # Millions of lists hold no cycles.
    gc.disable()
    for name in names:
        prepare(folder / name, name, old_texts if name in BY_ENGINE else texts, options)
    environment = dict(os.environ, QLORA_TEXT_KINDS=str(folder))
    # As `make test` builds, so that nothing is compiled twice.
    subprocess.run(
        ["swift", "test", "-c", "release", "--disable-testable-imports", "--filter",
         "TokenizerKindParityTests"],
        cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
    failures = sum(compare(folder / name) for name in names)
    shutil.rmtree(folder)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
