#!/usr/bin/env bash
# Checks the form of what is committed: Swift by the formatter, shell and Python by their parsers.
# Sizes, names and imports are the business of Tests/TidyTests.
set -euo pipefail
source "$(dirname "$0")/common.sh"

# With LINT_STRICT=1 a finding of the formatter fails; else it is only counted, because a few of
# its layouts are a matter of taste. `make format` applies what it can.
if [ "${LINT_STRICT:-0}" = 1 ]; then
  swift format lint --strict --recursive --parallel Package.swift Sources Tests
else
  findings="$(swift format lint --recursive --parallel Package.swift Sources Tests 2>&1 \
    | grep -c ' warning: ' || true)"
  say "lint.sh: $findings findings of swift format (LINT_STRICT=1 lists them)"
fi

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
