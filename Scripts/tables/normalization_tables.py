"""Makes Sources/QLoRAText/Unicode/NormalizationData.swift: decompositions, combining classes and
compositions as the tables of PyPI `tokenizers` have them, which are those of Unicode 9.

What a character decomposes to is asked of the library itself. Combining classes and pairs come from
Python's unicodedata, and are kept where the library acts by them, so that later characters fall out.

usage: normalization_tables.py        (needs tokenizers)
"""
import base64
import pathlib
import textwrap
import unicodedata

from tokenizers import normalizers

OUTPUT = (pathlib.Path(__file__).resolve().parents[2]
          / "Sources" / "QLoRAText" / "Unicode" / "NormalizationData.swift")
NFC, NFD, NFKD = normalizers.NFC(), normalizers.NFD(), normalizers.NFKD()
HANGUL = range(0xAC00, 0xD7A4)


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def scalars():
    return (value for value in range(0x110000) if not 0xD800 <= value < 0xE000)


def decompositions():
    """Count, then: distance to the character before, length, the characters; first all canonical
    ones, then the compatible ones that differ from them."""
    canonical, compatible = {}, {}
    for value in scalars():
        if value in HANGUL:
            continue
        text = chr(value)
        first, second = NFD.normalize_str(text), NFKD.normalize_str(text)
        if first != text:
            canonical[value] = first
        if second != first:
            compatible[value] = second
    out = b""
    for table in (canonical, compatible):
        out += varint(len(table))
        last = 0
        for value, text in sorted(table.items()):
            out += varint(value - last) + varint(len(text))
            out += b"".join(varint(ord(part)) for part in text)
            last = value
    return out


def is_reordered(text):
    return NFD.normalize_str(text) != text


def combining_classes():
    """Count, then: distance to the run before, its length, its class."""
    known = []
    for value in scalars():
        text = chr(value)
        kind = unicodedata.combining(text)
        # After a mark of class 240 all others move forward, and U+0345 itself moves behind none.
        if kind and (value == 0x345 or is_reordered("a\u0345" + text)
                     or is_reordered("a" + text + "\u0334")):
            known.append((value, kind))
    runs = []
    for value, kind in known:
        if runs and runs[-1][0] + runs[-1][1] == value and runs[-1][2] == kind:
            runs[-1][1] += 1
        else:
            runs.append([value, 1, kind])
    out, last = varint(len(runs)), 0
    for value, count, kind in runs:
        out += varint(value - last) + varint(count) + varint(kind)
        last = value
    return out


def compositions():
    """Count, then: first, second and composed character."""
    pairs = []
    for value in scalars():
        parts = unicodedata.decomposition(chr(value)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            first, second = (int(part, 16) for part in parts)
            if NFC.normalize_str(chr(first) + chr(second)) == chr(value):
                pairs.append((first, second, value))
    return varint(len(pairs)) + b"".join(
        varint(number) for pair in pairs for number in pair)


def main():
    data = base64.b64encode(decompositions() + combining_classes() + compositions()).decode()
    lines = "\n".join("    " + line for line in textwrap.wrap(data, 96))
    OUTPUT.write_text(
        "// Made by Scripts/tables/normalization_tables.py: decompositions, combining classes and\n"
        "// compositions of Unicode 9, packed. NormalizationTable unpacks them.\n\n"
        "enum NormalizationData {\n"
        "  /// Base64; lines and blanks are not part of it.\n"
        f'  static let packed: StaticString = """\n{lines}\n    """\n'
        "}\n")
    print(len(data), "characters")


if __name__ == "__main__":
    main()
