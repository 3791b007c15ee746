"""Makes Tests/Goldens/tokenizers/: small byte-level BPE tokenizers, one per splitter, with the ids
that PyPI `tokenizers` gives for some hundred strings.

Needs tokenizers; seeded, repeatable. text_parity.py takes its strings from here, too.
usage: make_tokenizer_goldens.py [FOLDER]     (Tests/Goldens when none is named)
"""
import json
import pathlib
import random
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "Tests" / "Goldens" / "tokenizers"

MODERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = MODERN.format(r"\p{N}{1,3}")
QWEN2 = MODERN.format(r"\p{N}")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


SPLITTERS = {
    "gpt2": byte_level(True),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), byte_level(True)]),
    "llama3": pre_tokenizers.Sequence([split(LLAMA3), byte_level(False)]),
    "qwen2": pre_tokenizers.Sequence([split(QWEN2), byte_level(False)]),
}

WORDS = """the of and to in a is that it for was on are with as his they be at one have this from
or had by hot word but what some we can out other were all there when up use your how said an each
she which do their time if will way about many then them write would like so these her long make
thing see him two has look more day could go come did number sound no most people my over know
water than call first who may down side been now find Paris London naïve café Zürich привет мир
東京 日本語 你好 世界 안녕 مرحبا नमस्ते def return import print lambda""".split()


def corpus(seed):
    rng = random.Random(seed)
    for _ in range(4000):
        words = []
        for _ in range(rng.randint(3, 14)):
            word = rng.choice(WORDS)
            if rng.random() < 0.1:
                word = word.capitalize()
            if rng.random() < 0.1:
                word += rng.choice(["'s", "n't", "'ll", "'ve", "'re", ",", ".", "!", "?\n"])
            if rng.random() < 0.1:
                word = str(rng.randint(0, 99999))
            words.append(word)
        yield rng.choice(["", " ", "  ", "\n", "\t"]) + " ".join(words) + "\n" * rng.randint(0, 2)


BLANKS = [" ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", " \n", "\n ", "\u00a0", "\u2003",
          "\u3000", "\u2028", "\u0085", "\u000b", "\u000c", "\u001c", "\u200b", "\ufeff", "\u180e"]
PIECES = WORDS + BLANKS * 4 + [
    "'s", "'S", "'ſ", "'t", "'RE", "'Ve", "'m", "'LL", "'d", "'x", "''", "don't", "WE'LL",
    "0", "1", "12", "123", "1234", "12345", "½", "²", "Ⅻ", "٣٤", "१२३", "一二", "①", "𝟘𝟙",
    "!", "...", "?!", "->", "#include", "<|", "|>", "$5.00", "a_b", "—", "“q”", "«", "»",
    "é", "e\u0301", "Å", "Å", "ﬁ", "ﬀ", "ñ", "n\u0303", "\u0301", "a\u0327\u0301", "a\u0301\u0327",
    "각", "\u1100\u1161\u11a8", "ǅ", "ß", "İ", "ı", "ΑΣ", "Ж",
    "🙂", "👩‍👩‍👧‍👦", "👍🏽", "🇫🇷", "🏴‍☠️", "𝒳", "𐐷", "\U00010400", "\u0378", "\ue000", "\U000e0001",
    "ภาษาไทย", "हिन्दी", "עברית", "العربية", "\u0640", "ʰ", "ª", "_", "^", "`", "+", "=", "\\",
    "\x00", "\x7f",
    "\U000323b0", "\u088f", "\U00011de0", "\U00010d40", "\u1ddb", "\u1acf", "\u0897",
]
CONTROL = ["<|im_start|>", "<|im_end|>", "<|tail|>", "<|head|>", "word", "<|both|>", "<norm>"]


def strings(seed, count=340):
    rng = random.Random(seed)
    fixed = [
        "", " ", "  ", "\n", "\n\n", "\r\n\r\n", "a", "'", "''", "'s", "a  5", "  2. two", "a \n b",
        "x\n\n\ny", "tabs\t\tand  spaces   ", "1234567", "12 345", "a" * 300, "the" * 60, " " * 90,
        "<|im_start|>user\nhi<|im_end|>", "<|im_start|", "<|im_end|><|im_end|>", " <|both|> a",
        "a <|tail|>  b", "a  <|head|> b", "word words sword word", "<norm> x<norm>y", "<NORM>",
    ]
    result = list(fixed)
    while len(result) < count:
        parts = [rng.choice(PIECES) for _ in range(rng.randint(1, 9))]
        if rng.random() < 0.2:
            parts.insert(rng.randint(0, len(parts)), rng.choice(CONTROL))
        result.append(rng.choice(["", "", " "]).join(parts))
    return result


def train(name, seed):
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
    tokenizer.pre_tokenizer = SPLITTERS[name]
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus(seed), trainer)
    tokenizer.add_special_tokens([
        AddedToken("<|im_start|>", special=True, normalized=False),
        AddedToken("<|im_end|>", special=True, normalized=False),
        AddedToken("<|tail|>", special=True, normalized=False, rstrip=True),
        AddedToken("<|head|>", special=True, normalized=False, lstrip=True),
        AddedToken("<|both|>", special=True, normalized=False, lstrip=True, rstrip=True),
    ])
    tokenizer.add_tokens([
        AddedToken("word", special=False, normalized=False, single_word=True),
        AddedToken("<norm>", special=False, normalized=True),
    ])
    if name == "llama3":
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|im_start|> $A", pair="<|im_start|> $A $B",
                special_tokens=[("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))]),
        ])
    return tokenizer


def main(output):
    for seed, name in enumerate(SPLITTERS):
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = train(name, seed)
        data = json.loads(tokenizer.to_str())
        if name == "gpt2":
            # Older files write merges as one string with a space.
            data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
        (folder / "tokenizer.json").write_text(
            json.dumps(data, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps({
            "bos_token": "<|im_start|>",
            "eos_token": {"content": "<|im_end|>", "special": True},
            "pad_token": "<|im_end|>",
        }))
        texts = strings(100 + seed)
        encoded = [tokenizer.encode(text) for text in texts]
        golden = {
            "tokenizers": tokenizers.__version__,
            "texts": texts,
            "ids": [item.ids for item in encoded],
            "decoded": [tokenizer.decode(item.ids, skip_special_tokens=False) for item in encoded],
            "decodedWithoutControl": [
                tokenizer.decode(item.ids, skip_special_tokens=True) for item in encoded],
        }
        (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")))
        print(name, tokenizer.get_vocab_size(), len(texts))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) / "tokenizers" if len(sys.argv) > 1 else OUTPUT)
