#!/usr/bin/env bash
# Checks the form of what is committed: Swift by the formatter, shell and Python by their parsers.
# Sizes, names and imports are the business of Tests/TidyTests.
set -euo pipefail
source "$(dirname "$0")/common.sh"

swift format lint --strict --recursive --parallel Package.swift Sources Tests

for script in .ci/run Scripts/*.sh Scripts/*/*.sh; do
  bash -n "$script"
done

if command -v python3 >/dev/null; then
  python3 - Scripts/*.py Scripts/*/*.py <<'PYTHON'
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path, encoding="utf-8").read(), path)
PYTHON
fi
