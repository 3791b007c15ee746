"""Compares our tokenizer with PyPI `tokenizers` on random Unicode strings, splitter by splitter.

Run: python Scripts/interop/text_parity.py [--count 10000] [--seed 1] [--gguf FILE]
Needs tokenizers, and gguf where --gguf (a byte-level vocabulary such as SmolLM2's) is given; run
`swift build --build-tests` first. Exits 1 at any difference.
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

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts" / "goldens"))
import make_tokenizer_goldens as goldens  # noqa: E402

# Random scalars are drawn from blocks as often as real text is, and from everywhere now and then.
BLOCKS = [(0x20, 0x7E), (0x09, 0x0D), (0xA0, 0x24F), (0x2B0, 0x36F), (0x370, 0x52F), (0x590, 0x6FF),
          (0x900, 0xDFF), (0xE00, 0xFFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F),
          (0x2070, 0x218F), (0x2190, 0x2BFF), (0x3000, 0x30FF), (0x3130, 0x318F), (0x4E00, 0x4FFF),
          (0xAC00, 0xAFFF), (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFFEF),
          (0x10400, 0x1049F), (0x11000, 0x11FFF), (0x1D100, 0x1D7FF), (0x1F300, 0x1FAFF)]


def scalar(rng):
    if rng.random() < 0.1:
        while True:
            value = rng.randrange(0x110000)
            if not 0xD800 <= value < 0xE000:
                return chr(value)
    return chr(rng.randint(*rng.choice(BLOCKS)))


def random_string(rng):
    kind = rng.random()
    length = rng.choice([1, 3, 8, 20, 60])
    if kind < 0.35:
        return "".join(scalar(rng) for _ in range(length))
    if kind < 0.5:
        letters = " \t\n\r\u00a0\u3000'sStTrReEvVlLmMdDſ019.!é"
        return "".join(rng.choice(letters) for _ in range(length))
    pieces = goldens.PIECES + goldens.CONTROL
    return "".join(
        rng.choice(pieces) if rng.random() < 0.7 else scalar(rng) for _ in range(length))


def gguf_tokenizer(path):
    """The tokenizer that a GGUF vocabulary with the `smollm` splitter means."""
    import gguf
    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    assert get("pre") == "smollm", get("pre")
    tokens, types = get("tokens"), get("token_type")
    merges = [tuple(merge.split(" ")) for merge in get("merges")]
    model = models.BPE({token: index for index, token in enumerate(tokens)}, merges)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = goldens.SPLITTERS["smollm"]
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([
        AddedToken(token, special=True, normalized=False)
        for token, kind in zip(tokens, types) if kind == 3])
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gguf")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="qlora-text-parity-"))
    references, asked = {}, {}
    for index, name in enumerate(goldens.SPLITTERS):
        source = goldens.OUTPUT / name / "tokenizer.json"
        references[name] = Tokenizer.from_file(str(source))
    if options.gguf:
        references["smollm2"] = gguf_tokenizer(options.gguf)
    for index, (name, reference) in enumerate(references.items()):
        rng = random.Random(options.seed * 1000 + index)
        asked[name] = [random_string(rng) for _ in range(options.count)]
        (folder / name).mkdir()
        reference.save(str(folder / name / "tokenizer.json"))
        (folder / name / "strings.json").write_text(json.dumps(asked[name]))
    environment = dict(os.environ, QLORA_TEXT_PARITY=str(folder))
    subprocess.run(
        ["swift", "test", "--skip-build", "--filter", "TextParityTests"], cwd=ROOT,
        env=environment, check=True, stdout=subprocess.DEVNULL)
    failures = 0
    for name, reference in references.items():
        ours = json.loads((folder / name / "result.json").read_text(encoding="utf-8"))
        wrong = []
        for text, row in zip(asked[name], ours, strict=True):
            ids = reference.encode(text).ids
            if row["ids"] != ids or row["text"] != reference.decode(ids, skip_special_tokens=False):
                wrong.append((text, ids, row))
        failures += len(wrong)
        print(f"{name}: {len(ours)} strings, {len(wrong)} differ")
        for text, ids, row in wrong[:3]:
            print("  ", ascii(text), ids, row["ids"])
    shutil.rmtree(folder)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
