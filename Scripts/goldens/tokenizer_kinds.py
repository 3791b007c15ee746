"""Tokenizers of every kind that model families use, trained on text at hand and put together from
the same parts as the families' published tokenizer.json and tokenizer.model files.

No real vocabulary is needed: what is compared is how the parts act. make_kind_goldens.py makes
small ones to commit; Scripts/interop/text_kinds.py compares larger ones on many strings.
"""
import io
import json
import pathlib
import random
import tempfile

import sentencepiece
from make_tokenizer_goldens import LLAMA3, SPLITTERS, WORDS, byte_level, split
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]

UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = (
    r"[^\r\n\p{{L}}\p{{N}}]?{u}*{l}+{c}|[^\r\n\p{{L}}\p{{N}}]?{u}+{l}*{c}|{n}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
GPT4O = CASED.format(u=UPPER, l=LOWER, c=CONTRACTIONS, n=r"\p{N}{1,3}")
TEKKEN = CASED.format(u=UPPER, l=LOWER, c="", n=r"\p{N}")
CLIP = (r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]"
        r"|[^\s\p{L}\p{N}]+")
MARK = "\u2581"

OTHER_WORDS = """
Straße façade Ünïcödé señor año élève ΑΒΓ αβγδ ὀδυσσεύς Привет
мир здравствуйте Україна שלום עולם مرحبا بالعالم
سلام دنیا नमस्ते दुनिया বাংলা தமிழ்
తెలుగు ไทย ภาษา 你好世界 東京都 日本語です こんにちは
カタカナ 안녕하세요 대한민국 እንግሊዝኛ ქართული
Հայերեն 𝒽𝑒𝓁𝓁𝑜 ﬁne ﬂow Ⅷ ½ ² ① ㎏ ｆｕｌｌ ｗｉｄｔｈ
ﷺ don't we'll it's I'VE HTTPServer camelCase snake_case __init__ x+=1; {"key": [1, 2.5e-3]}
<html> </p> https://example.org/a?b=c&d #!/bin/sh \\n 100,000 3.14 2024-05-06
""".split()


# Whether vocabularies are learned from this checkout's texts too. Committed ones are not, since
# they have to come out the same tomorrow.
READS_CHECKOUT = True


def corpus(seed, count=6000):
    """Lines of prose, source code and other scripts, the same for the same seed."""
    rng = random.Random(seed)
    lines = [" ".join(WORDS)]
    for pattern in ("Docs/*.md", "Docs/*/*.md", "Scripts/*/*.py") if READS_CHECKOUT else ():
        for path in sorted(ROOT.glob(pattern)):
            lines += path.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line.strip()]
    for _ in range(count):
        if rng.random() < 0.5:
            yield rng.choice(lines)
        else:
            words = rng.choices(WORDS + OTHER_WORDS, k=rng.randint(2, 12))
            yield rng.choice(["", " ", "  "]) + rng.choice([" ", " ", "  ", ""]).join(words)


def bytes_tokens():
    return [f"<0x{byte:02X}>" for byte in range(256)]


def train_bpe(tokenizer, seed, size, special=(), alphabet=None, **options):
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), show_progress=False,
        initial_alphabet=alphabet or [], **options)
    tokenizer.train_from_iterator(corpus(seed), trainer)
    return tokenizer


def template(tokenizer, before=(), after=()):
    names = [*before, *after]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after], pair=[*before, "$A", *after, "$B:1"],
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in names])


def special(*names, **options):
    return [AddedToken(name, special=True, normalized=False, **options) for name in names]


# SentencePiece's pairs as tokenizer.json has them: Llama 2, Mistral, Phi-3, Gemma.

def marks(seed, size, style):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", MARK)
    steps = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    # Words are learned as the model's trainer would: cut before marks.
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), replace])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(MARK, behavior="merged_with_next")
    first = ["<unk>", "<s>", "</s>"] + bytes_tokens()
    if style in ("gemma", "gemma4"):
        first = ["<pad>", "<eos>", "<bos>", "<unk>"] + bytes_tokens()
    train_bpe(tokenizer, seed, size, first, alphabet=list(MARK + "abcdefghijklmnopqrstuvwxyz"),
              limit_alphabet=300)
    if style in ("llama2", "phi3"):
        tokenizer.pre_tokenizer = None
        steps.append(decoders.Strip(" ", 1, 0))
    elif style == "mistral":
        tokenizer.normalizer = None
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement=MARK, prepend_scheme="first", split=False)
        steps.append(decoders.Strip(" ", 1, 0))
    elif style in ("gemma", "gemma4"):
        tokenizer.normalizer = replace
        if style == "gemma":
            tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    tokenizer.decoder = decoders.Sequence(steps)
    data = tokenizer.to_str()
    # The trainer makes its special tokens added ones; only control tokens are.
    data = json.loads(data)
    control = {"<unk>", "<s>", "</s>", "<pad>", "<eos>", "<bos>"}
    data["added_tokens"] = [item for item in data["added_tokens"] if item["content"] in control]
    for item in data["added_tokens"]:
        item["normalized"] = False
    tokenizer = Tokenizer.from_str(json.dumps(data))
    if style in ("gemma", "gemma4"):
        template(tokenizer, ["<bos>"])
        tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in
                              ["\n" * n for n in range(1, 6)] + [MARK * n for n in range(2, 6)]
                              + ["<table>", "</b>"]])
        tokenizer.add_special_tokens(special("<start_of_turn>", "<end_of_turn>"))
    elif style == "phi3":
        template(tokenizer, ["<s>"])
        tokenizer.add_special_tokens(
            special("<|user|>", "<|assistant|>", "<|end|>", rstrip=True) + special("<|endoftext|>"))
    else:
        template(tokenizer, ["<s>"])
        tokenizer.add_special_tokens(special("[INST]", "[/INST]"))
        tokenizer.add_tokens([AddedToken("<norm>", normalized=True)])
    return tokenizer


# Byte-level vocabularies with other splitters.

def bytes_bpe(seed, size, pre, normalizer=None, decoder=None, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoder or decoders.ByteLevel()
    options = {}
    if model.get("end_of_word_suffix"):
        options["end_of_word_suffix"] = model["end_of_word_suffix"]
    first = [model["unk_token"]] if model.get("unk_token") else []
    return train_bpe(
        tokenizer, seed, size, first, alphabet=pre_tokenizers.ByteLevel.alphabet(), **options)


def tekken(seed, size):
    tokenizer = bytes_bpe(
        seed, size, pre_tokenizers.Sequence([split(TEKKEN), byte_level(False)]),
        ignore_merges=True)
    tokenizer.add_special_tokens(special("<s>", "</s>", "[INST]", "[/INST]"))
    template(tokenizer, ["<s>"])
    return tokenizer


def gpt4o(seed, size):
    return bytes_bpe(seed, size, pre_tokenizers.Sequence([split(GPT4O), byte_level(False)]))


def neox(seed, size):
    tokenizer = bytes_bpe(seed, size, byte_level(True), normalizers.NFC())
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|padding|>"))
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(2, 12)])
    return tokenizer


def clip(seed, size):
    tokenizer = bytes_bpe(
        seed, size,
        pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(CLIP), behavior="removed", invert=True), byte_level(False)]),
        normalizers.Sequence([
            normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
        unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    tokenizer.add_special_tokens(special("<|startoftext|>", "<|endoftext|>"))
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<|endoftext|>", "<|startoftext|>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ids, False, False)
    return tokenizer


def roberta(seed, size):
    tokenizer = bytes_bpe(seed, size, pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.add_special_tokens(
        special("<s>", "<pad>", "</s>", "<unk>") + special("<mask>", lstrip=True))
    tokenizer.post_processor = processors.RobertaProcessing(
        *[(name, tokenizer.token_to_id(name)) for name in ("</s>", "<s>")])
    return tokenizer


def engine(seed, size):
    """Patterns that only an engine reads, in the manner of DeepSeek's first models."""
    return bytes_bpe(
        seed, size, pre_tokenizers.Sequence([
            split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
            split(r"\s+$"), split("[一-龥ࠀ-一가-퟿]+"),
            pre_tokenizers.Digits(individual_digits=True), byte_level(False)]))


def deepseek(seed, size):
    """DeepSeek's since its third model: three expressions, one inside of what the others leave."""
    return bytes_bpe(
        seed, size, pre_tokenizers.Sequence([
            split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"),
            split("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
                  "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
                  "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"),
            byte_level(False)]))


def falcon(seed, size):
    return bytes_bpe(
        seed, size, pre_tokenizers.Sequence([
            pre_tokenizers.Punctuation("contiguous"), byte_level(True),
            pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]))


def qwen35(seed, size):
    return bytes_bpe(
        seed, size, pre_tokenizers.Sequence([
            split(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
                  r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
            byte_level(False)]), normalizers.NFC())


CONTRACTED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
MODERN = CONTRACTED + (
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|")


def cased(upper, lower, numbers, signs):
    """GPT-4o's pattern and those made from it."""
    return (rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{CONTRACTED}?"
            rf"|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{CONTRACTED}?|{numbers}"
            rf"| ?[^\s\p{{L}}\p{{N}}]+{signs}*|\s*[\r\n]+|\s+(?!\S)|\s+")


def listed(*steps, uses_pattern=False, **model):
    """Byte-level pairs behind a list of splitters, GPT-2's pattern behind them if asked for."""
    steps = [split(step) if isinstance(step, str) else step for step in steps]
    return lambda seed, size: bytes_bpe(
        seed, size, pre_tokenizers.Sequence(steps + [byte_level(uses_pattern)]), **model)


# What llama.cpp names kimi-k2, afmoe, chameleon, jais-2, youtu and laguna.
NAMED = {
    "kimi": listed(r"[\p{Han}]+|" + cased(
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]",
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"\p{N}{1,3}", r"[\r\n]")),
    "afmoe": listed(
        r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
        "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f"
        "\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f"
        "\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
        "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
        "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"),
    "chameleon": listed(
        "<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )",
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("isolated"),
        uses_pattern=True),
    "jais2": listed(
        MODERN + "".join(rf"\s{{{n}}}(?!\S)|" for n in (512, 256, 128, 64, 32, 16, 8, 4))
        + r"\s{1,2}(?!\S)|\s{1}"),
    "youtu": listed(
        "[\uac00-\ud7a3\u3131-\u318e]+"
        "|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
        "|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        cased(r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"\p{N}",
              r"[\r\n/]"), ignore_merges=True),
    "laguna": listed(
        r"[^\n]+|[\n]+", MODERN.replace("{1,3}", "") + r"\s+(?!\S)|\s+"),
}


def splitter(name):
    """A splitter of make_tokenizer_goldens.py, with a vocabulary of its own."""
    return lambda seed, size: bytes_bpe(
        seed, size, SPLITTERS[name], normalizers.NFC() if name == "qwen2" else None)


def spelled(seed, size):
    """The byte alphabet as a normalizer, behind which a splitter sees its characters."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.ByteLevel()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("Ġ", behavior="contiguous")
    tokenizer.decoder = decoders.ByteLevel()
    return train_bpe(tokenizer, seed, size, ["<unk>"],
                     alphabet=pre_tokenizers.ByteLevel.alphabet())


# Unigram, WordPiece, words.

# Some rules of nmt_nfkc, for vocabularies that are committed: the whole map has 240 kB.
FEW_RULES = (
    "9\t20\nA\t20\nA0\t20\n3000\t20\nFB01\t66 69\nFF41\t61\n65 301\tE9\nAD\t\n"
    "BD\t31 2044 32\n")


def normalization(rule, size):
    """What tells sentencepiece's trainer how to normalize: small vocabularies by few rules."""
    if size > 1000 or rule == "identity":
        return {"normalization_rule_name": rule}
    path = pathlib.Path(tempfile.gettempdir()) / "qlora-few-rules.tsv"
    path.write_text(FEW_RULES)
    return {"normalization_rule_tsv": str(path)}


def character_map(size):
    """The map that sentencepiece compiles of its rules nmt_nfkc."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS * 10), model_writer=model, vocab_size=100,
        hard_vocab_limit=False, minloglevel=2, **normalization("nmt_nfkc", size))
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def unigram(seed, size, style):
    tokenizer = Tokenizer(models.Unigram())
    mapped = normalizers.Precompiled(character_map(size))
    tokenizer.normalizer = mapped
    if style == "t5":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement=MARK, prepend_scheme="always")
    if style == "albert":
        tokenizer.normalizer = normalizers.Sequence([
            normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
            normalizers.StripAccents(), normalizers.Lowercase(), mapped,
            normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.decoder = decoders.Metaspace(replacement=MARK, prepend_scheme="always")
    first = ["<pad>", "</s>", "<unk>"] + (bytes_tokens() if style == "bytes" else [])
    tokenizer.train_from_iterator(
        corpus(seed), trainers.UnigramTrainer(
            vocab_size=size, special_tokens=first, unk_token="<unk>", show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [item for item in data["added_tokens"]
                            if not item["content"].startswith("<0x")]
    if style == "bytes":
        data["model"]["byte_fallback"] = True
        data["decoder"] = {"type": "Sequence", "decoders": [
            {"type": "ByteFallback"}, data["decoder"], {"type": "Fuse"}]}
    if style == "albert":
        # Whole texts are cut at once, but learning from them would take minutes.
        data["pre_tokenizer"]["split"] = False
    tokenizer = Tokenizer.from_str(json.dumps(data))
    template(tokenizer, after=["</s>"])
    if style == "t5":
        tokenizer.add_special_tokens(special("<extra_id_1>", "<extra_id_0>", lstrip=True))
    return tokenizer


def bert(seed, size, cased):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=not cased)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(corpus(seed), trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=names, show_progress=False, limit_alphabet=400))
    if cased:
        tokenizer.post_processor = processors.BertProcessing(
            ("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]")))
    else:
        template(tokenizer, ["[CLS]"], ["[SEP]"])
    return tokenizer


def subwords(seed, size):
    """Pairs whose later parts have a prefix, unknown characters one by one."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Nmt(), normalizers.NFD(), normalizers.Strip(left=True, right=True),
        normalizers.Replace(Regex("[aeiou]{3}"), "o")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous")])
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return train_bpe(tokenizer, seed, size, ["[UNK]"], continuing_subword_prefix="##",
                     limit_alphabet=200)


def suffixed(seed, size):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    return train_bpe(tokenizer, seed, size, ["<unk>"], end_of_word_suffix="</w>",
                     limit_alphabet=200)


def words(seed, size, pre, decoder=None, normalizer=None):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(corpus(seed), trainers.WordLevelTrainer(
        vocab_size=size, special_tokens=["[UNK]"], show_progress=False))
    return tokenizer


def splitting(pre):
    """Shows the words of a splitter: every character is a token, and words are kept apart."""
    def make(seed, size):
        tokenizer = Tokenizer(models.BPE(
            unk_token="[UNK]", continuing_subword_prefix="##", fuse_unk=True))
        tokenizer.pre_tokenizer = pre
        tokenizer.decoder = decoders.Fuse()
        return train_bpe(tokenizer, seed, size, ["[UNK]"], continuing_subword_prefix="##",
                         limit_alphabet=600)
    return make


def kinds():
    """Name to a function of seed and size."""
    p = pre_tokenizers
    result = {
        "llama2": lambda seed, size: marks(seed, size, "llama2"),
        "mistral": lambda seed, size: marks(seed, size, "mistral"),
        "gemma": lambda seed, size: marks(seed, size, "gemma"),
        "gemma4": lambda seed, size: marks(seed, size, "gemma4"),
        "phi3": lambda seed, size: marks(seed, size, "phi3"),
        "tekken": tekken, "gpt4o": gpt4o, "neox": neox, "clip": clip, "roberta": roberta,
        "engine": engine, "spelled": spelled,
        "deepseek": deepseek, "falcon": falcon, "qwen35": qwen35,
        "gpt2": splitter("gpt2"), "llama3": splitter("llama3"), "qwen2": splitter("qwen2"),
        "smollm": splitter("smollm"),
        "t5": lambda seed, size: unigram(seed, size, "t5"),
        "albert": lambda seed, size: unigram(seed, size, "albert"),
        "unigram-bytes": lambda seed, size: unigram(seed, size, "bytes"),
        "bert": lambda seed, size: bert(seed, size, False),
        "bert-cased": lambda seed, size: bert(seed, size, True),
        "subwords": subwords, "suffixed": suffixed,
        "words": lambda seed, size: words(seed, size, p.Whitespace()),
        "words-ctc": lambda seed, size: words(
            seed, size, p.CharDelimiterSplit(" "),
            decoders.CTC(pad_token="the", word_delimiter_token="|", cleanup=True)),
        "scripts": splitting(p.UnicodeScripts()),
        "digits": splitting(p.Digits(individual_digits=False)),
        "chunks": splitting(p.FixedLength(length=3)),
        "metaspace-never": splitting(p.Metaspace(prepend_scheme="never")),
    }
    result.update(NAMED)
    for behavior in ("removed", "isolated", "contiguous", "merged_with_previous",
                     "merged_with_next"):
        result["punctuation-" + behavior] = splitting(p.Punctuation(behavior))
        result["split-" + behavior] = splitting(
            p.Sequence([p.Split("e", behavior), p.Split(Regex(r"\w+\s*"), behavior, invert=True)]))
    return result


# SentencePiece's own files.

PIECES = {
    "spm-llama": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                      remove_extra_whitespaces=False, split_digits=True,
                      allow_whitespace_only_pieces=True),
    "spm-gemma": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                      remove_extra_whitespaces=False, add_dummy_prefix=False,
                      allow_whitespace_only_pieces=True,
                      user_defined_symbols=["<table>", "\u2581\u2581", "</b>", "\n\n", "the"]),
    "spm-t5": dict(model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
    "spm-unigram-bytes": dict(model_type="unigram", byte_fallback=True,
                              normalization_rule_name="nfkc_cf",
                              user_defined_symbols=["<sep>", "abc", "\u2581x"]),
    "spm-bpe-nfkc": dict(model_type="bpe", normalization_rule_name="nfkc"),
    "spm-suffix": dict(model_type="unigram", treat_whitespace_as_suffix=True),
}


def train_pieces(name, seed, size):
    """The bytes of a tokenizer.model."""
    options = dict(PIECES[name])
    options.update(normalization(options.pop("normalization_rule_name", "nmt_nfkc"), size))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=corpus(seed), model_writer=model, vocab_size=size,
        character_coverage=0.995, hard_vocab_limit=False, num_threads=1, minloglevel=2, **options)
    return model.getvalue()
