"""Files of rows in every container, as pyarrow, datasets and Python's csv write them.

Rows are read by `qlora preview` with a model whose tokens are bytes and whose template writes each
message as JSON, so that what it read can be compared with what those libraries read.
"""

import csv
import gzip
import io
import itertools
import json
import pathlib
import random
import tempfile

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from common import finish, make_tiny_chat_model, preview, require, run, write_recipe

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message | tojson }}<|system|>"
    "{{ message['content'] if message['content'] else '' }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WORDS = ["", "a", "naïve café", "東京 🙂", "line\nbreak", 'quo"te', "x" * 60, " "]
TEXTS = [
    "messages.list.element.content", "messages.list.element.role",
    "messages.list.element.tool_calls.list.element.function.arguments.city", "note",
]
NUMBERS = ["count", "messages.list.element.tool_calls.list.element.function.arguments.days"]
ENCODINGS = {
    "dictionary": None,
    "plain": {},
    "delta": {
        **{name: "DELTA_LENGTH_BYTE_ARRAY" for name in TEXTS},
        **{name: "DELTA_BINARY_PACKED" for name in NUMBERS},
        "messages.list.element.tool_calls.list.element.function.strict": "RLE",
    },
    "prefix": {name: "DELTA_BYTE_ARRAY" for name in TEXTS},
    "split": {name: "BYTE_STREAM_SPLIT" for name in [*NUMBERS, "part"]},
}
generator = random.Random(7)


def message(role, j):
    calls = [
        {
            "id": f"call{j}",
            "function": {
                "name": "weather",
                "strict": bool(j % 2),
                "arguments": {
                    "city": generator.choice(WORDS) or None,
                    "days": generator.randint(-5, 2**40) if j % 3 else None,
                    "where": [[1.5, j], []] if j % 2 else None,
                },
            },
        }
        for _ in range(1 + j % 3)
    ]
    has_calls = role == "assistant" and generator.random() < 0.5
    return {
        "role": role,
        "content": None if has_calls and j % 2 else generator.choice(WORDS),
        "tool_calls": calls if has_calls else None,
    }


def conversation(i):
    turns = [message("user", i)]
    for j in range(generator.randint(0, 3)):
        turns.append(message("assistant", j + i))
        turns.append(message("tool" if turns[-1]["tool_calls"] else "user", j))
    return [*turns, {"role": "assistant", "content": "done", "tool_calls": None}]


datasets.disable_progress_bars()
CALL = pa.struct([
    ("id", pa.string()),
    ("function", pa.struct([
        ("name", pa.string()),
        ("strict", pa.bool_()),
        ("arguments", pa.struct([
            ("city", pa.string()),
            ("days", pa.int64()),
            ("where", pa.list_(pa.list_(pa.float64()))),
        ])),
    ])),
])
SCHEMA = pa.schema([
    ("note", pa.large_string()),
    ("count", pa.int32()),
    ("part", pa.float32()),
    ("none", pa.null()),
    ("messages", pa.list_(pa.struct([
        ("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.list_(CALL)),
    ]))),
])
ROWS = [
    {
        "note": generator.choice(WORDS), "count": i, "part": i / 4, "none": None,
        "messages": conversation(i),
    }
    for i in range(60)
]


def pruned(value):
    """Without the members that a table fills in."""
    if isinstance(value, dict):
        return {k: pruned(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [pruned(v) for v in value]
    return value


class Reader:
    """What qlora reads from a file."""

    def __init__(self, work):
        self.work = work
        self.model = work / "model"
        self.tokenizer = make_tiny_chat_model(self.model)
        config = json.loads((self.model / "tokenizer_config.json").read_text())
        config["chat_template"] = TEMPLATE
        (self.model / "tokenizer_config.json").write_text(json.dumps(config))

    def lines(self, path, form, count):
        recipe = write_recipe(
            self.work / "recipe.json", self.model, path, form, data={"maxTokens": 65536})
        return preview(recipe, count) if count else []

    def conversations(self, path, count):
        found = []
        for line in self.lines(path, "messages", count):
            text = self.tokenizer.decode(line["tokens"], skip_special_tokens=False)
            turns = text.split("<|end|>")[:-1]
            found.append([json.loads(t.split("|>", 1)[1].split("<|system|>")[0]) for t in turns])
        return found

    def pairs(self, path, count):
        lines = self.lines(path, "prompt-completion", count)
        return [self.tokenizer.decode(line["tokens"][:-1]) for line in lines]


def parquet_files(reader):
    table = pa.Table.from_pylist(ROWS, schema=SCHEMA)
    expected = [pruned(row["messages"]) for row in table.to_pylist()]
    good = 0
    codecs = ["NONE", "SNAPPY", "GZIP", "ZSTD", "LZ4"]
    cases = list(itertools.product(codecs, ["1.0", "2.0"], ENCODINGS))
    for codec, version, encoding in cases:
        path = reader.work / f"{codec}-{version}-{encoding}.parquet"
        chosen = ENCODINGS[encoding]
        pq.write_table(
            table, path, compression=codec, data_page_version=version,
            use_dictionary=chosen is None, column_encoding=chosen or None, row_group_size=25,
            data_page_size=500, write_batch_size=16)
        good += reader.conversations(path, len(ROWS)) == expected
    require(f"parquet: {len(cases)} files of codec × page version × encoding", good == len(cases))
    path = reader.work / "large.parquet"
    pq.write_table(table, path)
    require("parquet: pyarrow's defaults", reader.conversations(path, len(ROWS)) == expected)
    data = datasets.Dataset.from_list([{k: r[k] for k in ("note", "messages")} for r in ROWS])
    path = reader.work / "hub.parquet"
    data.to_parquet(path)
    read = [pruned(row["messages"]) for row in datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(reader.work / "cache"))]
    require("parquet: datasets.Dataset", reader.conversations(path, len(ROWS)) == read)
    path = reader.work / "brotli.parquet"
    pq.write_table(table, path, compression="BROTLI")
    recipe = write_recipe(reader.work / "recipe.json", reader.model, path, "messages")
    refused = run("preview", recipe, "-n", 1, "--json")
    require("parquet: BROTLI is refused with E0414", refused.returncode == 65
            and "E0414" in refused.stderr)


def text_files(reader):
    plain = [{"messages": pruned(row["messages"])} for row in ROWS]
    expected = [row["messages"] for row in plain]
    lines = "".join(json.dumps(row) + "\n" for row in plain).encode()
    indented = json.dumps(plain, indent=2, ensure_ascii=False).encode()
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(lines)
    files = {
        "rows.jsonl.gz": gzip.compress(lines[:999]) + gzip.compress(lines[999:]),
        "rows.jsonl.zst": sink.getvalue().to_pybytes(), "rows.json": indented,
        "rows.json.gz": gzip.compress(indented),
    }
    for name, content in files.items():
        path = reader.work / name
        path.write_bytes(content)
        require(f"{name}", reader.conversations(path, len(ROWS)) == expected)
    path = reader.work / "messages.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["messages"])
        writer.writeheader()
        writer.writerows({"messages": json.dumps(row["messages"])} for row in plain)
    require("messages as JSON text in CSV", reader.conversations(path, len(ROWS)) == expected)


def csv_files(reader):
    """Cells with every trap; Python's own reader says what they are."""
    cells = ["", "a", "a,b", 'q"q', '"', '""', "nl\nx", "crlf\r\nx", " sp ", "é🙂", "'", ",", "\n"]
    good, count = 0, 40
    for trial in range(count):
        rows = [
            {"prompt": generator.choice(cells), "completion": generator.choice(cells) + "x",
             "more": generator.choice(cells) + "\r" * (trial % 2)}
            for _ in range(20)
        ]
        buffer = io.StringIO(newline="")
        # A lone carriage return is only quoted where it is part of a line end.
        end = "\r\n" if trial % 2 else generator.choice(["\n", "\r\n"])
        quoting = generator.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator=end, quoting=quoting)
        writer.writeheader()
        writer.writerows(rows)
        text = buffer.getvalue()
        if trial % 5 == 0:
            text = text.rstrip("\r\n")
        content = (b"\xef\xbb\xbf" if trial % 4 == 0 else b"") + text.encode()
        path = reader.work / ("rows.csv.gz" if trial % 3 == 0 else "rows.csv")
        path.write_bytes(gzip.compress(content) if trial % 3 == 0 else content)
        read = list(csv.DictReader(io.StringIO(text, newline="")))
        expected = [row["prompt"] + row["completion"] for row in read]
        good += reader.pairs(path, len(read)) == expected
    require(f"CSV: {count} files as Python's csv reads them", good == count)


with tempfile.TemporaryDirectory() as folder:
    reader = Reader(pathlib.Path(folder))
    parquet_files(reader)
    text_files(reader)
    csv_files(reader)
finish()
