"""Makes Sources/QLoRAText/Unicode/ScriptData.swift: which characters the UnicodeScripts splitter of
PyPI `tokenizers` takes for one script. Its tables are asked character by character.

usage: script_runs.py        (needs tokenizers)
"""
import base64
import pathlib
import textwrap

from normalization_tables import scalars, varint
from tokenizers import pre_tokenizers

OUTPUT = (pathlib.Path(__file__).resolve().parents[2]
          / "Sources" / "QLoRAText" / "Unicode" / "ScriptData.swift")
SCRIPTS = pre_tokenizers.UnicodeScripts()


def pieces(text):
    return len(SCRIPTS.pre_tokenize_str(text))


def main():
    # Script 0 belongs to any: characters that stand alone in no word.
    representatives, runs, last = [], [], None
    for value in scalars():
        text = chr(value)
        if pieces(text) == 0:
            script = 0
        elif last and runs[-1][1] and pieces(last + text) == 1:
            script = runs[-1][1]
        else:
            found = [index for index, one in enumerate(representatives) if pieces(one + text) == 1]
            if not found:
                representatives.append(text)
                found = [len(representatives) - 1]
            script = found[0] + 1
        if not runs or runs[-1][1] != script:
            runs.append((value, script))
        last = text
    out, before = varint(len(runs)), 0
    for value, script in runs:
        out += varint(value - before) + varint(script)
        before = value
    lines = "\n".join(
        "    " + line for line in textwrap.wrap(base64.b64encode(out).decode(), 96))
    OUTPUT.write_text(
        "// Made by Scripts/tables/script_runs.py: runs of characters of one script, packed.\n"
        "// ScriptRuns unpacks them.\n\n"
        "enum ScriptData {\n"
        "  /// Base64; lines and blanks are not part of it.\n"
        f'  static let packed: StaticString = """\n{lines}\n    """\n'
        "}\n")
    print(len(runs), "runs,", len(representatives), "scripts")


if __name__ == "__main__":
    main()
