"""Measures our tokenizers of every kind beside PyPI `tokenizers` and `sentencepiece`, one thread.

Run: python Scripts/bench/tokenizing.py [--size 8000] [--turns 3] [--large FILE]… [KIND…]
Needs `swift build -c release --product qlora-bench`. Both sides encode the same text, this
checkout's documents and sources and words of other scripts, in turns: the reference whole or by
lines, as it is faster. The processor time of the fastest round counts. Prints a table; with --large
a second one, of how long files take to load.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import sentencepiece  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "goldens"))
import sitting  # noqa: E402
import tokenizer_kinds  # noqa: E402


def text():
    """Prose, source code, and lines of words of many scripts."""
    rng = random.Random(7)
    parts = []
    for pattern in ("Docs/**/*.md", "Sources/QLoRA[PT]*/**/*.swift", "Scripts/**/*.py"):
        for path in sorted(ROOT.glob(pattern)):
            parts.append(path.read_text(encoding="utf-8"))
            parts.append(" ".join(rng.choices(tokenizer_kinds.OTHER_WORDS, k=60)))
    rng.shuffle(parts)
    # Enough that words repeat as often as they do in a data set, and training takes no hour.
    return "\n".join(parts)[:1_500_000]


def write(folder, name, options):
    """Trains a tokenizer; gives what encodes a text and lines with the reference."""
    place = folder / name
    place.mkdir()
    if name in tokenizer_kinds.PIECES:
        model = tokenizer_kinds.train_pieces(name, 1, options.size)
        (place / "tokenizer.model").write_bytes(model)
        encode = sentencepiece.SentencePieceProcessor(model_proto=model).encode
        # Of a list it takes one after the other only if told to.
        return encode, lambda lines: encode(lines, num_threads=1)
    tokenizer_kinds.kinds()[name](1, options.size).save(str(place / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    return lambda words: tokenizer.encode(words).ids, tokenizer.encode_batch


def theirs(encode, encode_lines, words):
    """Seconds of the reference, of the whole text or of its lines, whichever it prefers."""
    start = time.process_time()
    count = len(encode(words))
    middle = time.process_time()
    encode_lines(words.splitlines(keepends=True))
    return min(middle - start, time.process_time() - middle), count


def ours(folder, path, rounds, plain):
    command = [str(sitting.BENCH), "tokenize", "--tokenizer", str(folder), "--text", str(path),
               "--rounds", str(rounds)] + (["--plain"] if plain else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def encoding(folder, options):
    words = text()
    path = folder / "text"
    path.write_text(words, encoding="utf-8")
    megabytes = path.stat().st_size / 1e6
    rows = []
    for name in options.kinds or [*tokenizer_kinds.kinds(), *tokenizer_kinds.PIECES]:
        encode, encode_lines = write(folder, name, options)
        reference, found = float("inf"), {"seconds": float("inf")}
        for _ in range(options.turns):
            seconds, count = theirs(encode, encode_lines, words)
            reference = min(reference, seconds)
            turn = ours(folder / name, path, 3, name in tokenizer_kinds.PIECES)
            if turn["seconds"] < found["seconds"]:
                found = turn
        # The text holds spellings of control tokens, which count alike on both sides.
        if count != found["tokens"]:
            sitting.say(f"{name}: {count} tokens there, {found['tokens']} here")
        first, seconds = found["firstSeconds"], found["seconds"]
        rows.append((name, f"{megabytes / reference:.2f}", f"{megabytes / first:.1f}",
                     f"{megabytes / seconds:.1f}", f"{reference / seconds:.1f}"))
        sitting.say(" ".join(rows[-1]))
    print(f"{megabytes:.2f} MB of text, vocabularies of {options.size}\n")
    print(sitting.table(
        ["kind", "reference, MB/s", "qlora, first, MB/s", "qlora, MB/s", "ratio"], rows))


def loading(folder, options):
    path = folder / "few"
    path.write_text("a", encoding="utf-8")
    rows = []
    for file in map(pathlib.Path, options.large):
        place = folder / file.parent.name
        place.mkdir()
        shutil.copy(file, place / "tokenizer.json")
        reference, found = float("inf"), None
        for _ in range(options.turns):
            start = time.process_time()
            Tokenizer.from_file(str(file))
            reference = min(reference, time.process_time() - start)
            turn = ours(place, path, 5, False)
            if found is None or turn["loadSeconds"] < found["loadSeconds"]:
                found = turn
        rows.append((file.parent.name, f"{file.stat().st_size / 1e6:.1f}",
                     f"{reference * 1e3:.0f}", f"{found['loadSeconds'] * 1e3:.0f}",
                     f"{found['loadPeakBytes'] / 1e6:.0f}"))
    print("\n" + sitting.table(
        ["file", "MB", "reference, ms", "qlora, ms", "qlora, peak, MB"], rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--large", action="append", default=[])
    parser.add_argument("kinds", nargs="*")
    options = parser.parse_args()
    if not sitting.BENCH.exists():
        raise SystemExit(f"{sitting.BENCH} is missing; swift build -c release")
    print(f"{sitting.machine()['processor']}, commit {sitting.commit()}")
    with tempfile.TemporaryDirectory(prefix="qlora-tokenizing-") as folder:
        encoding(pathlib.Path(folder), options)
        if options.large:
            loading(pathlib.Path(folder), options)


if __name__ == "__main__":
    main()
