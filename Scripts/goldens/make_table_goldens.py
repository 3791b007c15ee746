"""Small tables as pyarrow writes them, in every codec, encoding and page version that is read.

Writes Tests/Goldens/tables: the rows as JSON lines, and files that must give these rows. Beside
them stand corpora for the fuzzers of tables and of compressed rows.
"""

import base64
import gzip
import json
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

HOME = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Goldens"
GOLDENS = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HOME
TABLES = GOLDENS / "tables"
FUZZ = GOLDENS / "fuzz"

CALL = pa.struct([
    ("id", pa.string()),
    ("function", pa.struct([
        ("name", pa.string()),
        ("arguments", pa.map_(pa.string(), pa.string())),
    ])),
])
SCHEMA = pa.schema([
    ("text", pa.string()),
    ("count", pa.int64()),
    ("small", pa.int32()),
    ("large", pa.uint64()),
    ("part", pa.float64()),
    ("short", pa.float32()),
    ("flag", pa.bool_()),
    ("messages", pa.list_(pa.struct([
        ("role", pa.string()),
        ("content", pa.string()),
        ("tool_calls", pa.list_(CALL)),
    ]))),
    ("matrix", pa.list_(pa.list_(pa.int16()))),
    ("bytes", pa.binary(3)),
])
WORDS = ["", "a", "naïve café", "東京 🙂", "line\nbreak", "x" * 40]


def message(i, j):
    calls = [{"id": f"c{i}", "function": {"name": "look", "arguments": [("city", "Bern")]}}]
    return {
        "role": "assistant" if j % 2 else "user",
        "content": None if j == 1 and i % 3 == 0 else WORDS[(i + j) % len(WORDS)],
        "tool_calls": calls * (1 + i % 2) if j == 1 and i % 3 == 0 else None,
    }


ROWS = [
    {
        "text": WORDS[i % len(WORDS)] + str(i % 4) if i % 5 else None,
        "count": i * i * 1_000_003 - 7 if i % 4 else None,
        "small": 100 - i,
        "large": 2**64 - 1 - i,
        "part": i / 3 if i % 7 else None,
        "short": i * 0.25,
        "flag": i % 3 == 0 if i % 6 else None,
        "messages": [message(i, j) for j in range(i % 4)] if i % 9 else None,
        "matrix": [list(range(j)) for j in range(i % 3)],
        "bytes": bytes([0xFF, i, 0]),
    }
    for i in range(40)
]
TEXTS = ["text", "messages.list.element.content"]
ENCODINGS = {
    "plain": {},
    "delta": {
        **{name: "DELTA_LENGTH_BYTE_ARRAY" for name in TEXTS},
        **{name: "DELTA_BINARY_PACKED" for name in ["count", "small", "large"]},
        "flag": "RLE",
    },
    "prefix": {name: "DELTA_BYTE_ARRAY" for name in [*TEXTS, "bytes"]},
    "split": {name: "BYTE_STREAM_SPLIT" for name in ["count", "small", "part", "short", "bytes"]},
}
FILES = [
    ("none", "1.0", None), ("snappy", "1.0", None), ("zstd", "2.0", None), ("gzip", "1.0", "plain"),
    ("lz4", "2.0", "delta"), ("none", "2.0", "prefix"), ("snappy", "2.0", "split"),
    ("brotli", "1.0", None),
]


def write(path, table, codec, version, encoding):
    pq.write_table(
        table, path, compression=codec, data_page_version=version, use_dictionary=encoding is None,
        column_encoding=ENCODINGS[encoding] if encoding else None, row_group_size=25,
        data_page_size=200, write_batch_size=8, store_schema=False, write_statistics=False,
    )


def plain(value, top=True):
    """A row as JSON has it: absent members left out below the row, bytes in base64."""
    if isinstance(value, dict):
        return {k: plain(v, False) for k, v in value.items() if top or v is not None}
    if isinstance(value, list):
        if value and all(isinstance(v, tuple) for v in value):
            return dict(value)
        return [plain(v, False) for v in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def main():
    TABLES.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(ROWS, schema=SCHEMA)
    for codec, version, encoding in FILES:
        name = f"{codec}-v{version[0]}-{encoding or 'dictionary'}.parquet"
        write(TABLES / name, table, codec, version, encoding)
    lines = "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in table.to_pylist())
    (TABLES / "rows.jsonl").write_text(lines, encoding="utf-8")
    # Two members, as parts joined by `cat` are.
    half = len(lines) // 2
    parts = [gzip.compress(part.encode(), mtime=0) for part in (lines[:half], lines[half:])]
    (TABLES / "rows.jsonl.gz").write_bytes(b"".join(parts))
    with pa.CompressedOutputStream(str(TABLES / "rows.jsonl.zst"), "zstd") as out:
        out.write(lines.encode())
    # Half a gibibyte of blanks, and a table that somebody compressed once more.
    with pa.CompressedOutputStream(str(TABLES / "bomb.zst"), "zstd") as out:
        for _ in range(512):
            out.write(b"{" + b" " * ((1 << 20) - 1))
    table = (TABLES / "zstd-v2-dictionary.parquet").read_bytes()
    (TABLES / "table.parquet.gz").write_bytes(gzip.compress(table, mtime=0))
    write_corpora()


def write_corpora():
    """One small file for each way in which bytes become rows."""
    (FUZZ / "table").mkdir(parents=True, exist_ok=True)
    (FUZZ / "container").mkdir(parents=True, exist_ok=True)
    few = pa.Table.from_pylist(ROWS[1:6], schema=SCHEMA)
    narrow = few.select(["text", "messages"])
    for codec, version, encoding in FILES[:-1]:
        chosen = few.select(["text", "count", "flag", "part"]) if encoding == "delta" else narrow
        known = {k: v for k, v in ENCODINGS.get(encoding, {}).items() if k.split(".")[0] in
                 chosen.column_names}
        ENCODINGS["known"] = known
        name = f"{codec}-{encoding or 'dictionary'}"
        write(FUZZ / "table" / name, chosen, codec, version, "known" if encoding else None)
    line = b'{"text":"hello"}\n'
    gz = gzip.compress(line * 3, mtime=0)
    (FUZZ / "container" / "gzip").write_bytes(b"\0" + gz)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(line * 3)
    (FUZZ / "container" / "zstd").write_bytes(b"\0" + sink.getvalue().to_pybytes())
    (FUZZ / "container" / "array").write_bytes(b'\0[{"text":"a]"},\n {"text":"b"}]\n')
    (FUZZ / "container" / "csv").write_bytes(b'\1\xef\xbb\xbftext,more\r\n"a ""b""\nc",d\r\n,e\n')


if __name__ == "__main__":
    main()
