# Functions that the scripts share; sourced, never run.

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# A clone, not a package download, is what the scripts work on.
cd "$repository"

say() { printf '%s\n' "$*" >&2; }

# fail CODE MESSAGE…: CODE as Docs/CommandLine.md lists them.
fail() {
  local code="$1"
  shift
  say "$(basename "$0"): error: $*"
  exit "$code"
}

# A Python that has pip: the first one on the path may be another than apt's.
python_with_pip() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -m pip --version >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# The Python of the reference libraries, or nothing: QLORA_INTEROP_PYTHON, else .venv-interop.
interop_python() {
  local candidate="${QLORA_INTEROP_PYTHON:-$repository/.venv-interop/bin/python}"
  [ -x "$candidate" ] && "$candidate" -c 'import torch' 2>/dev/null && printf '%s\n' "$candidate"
}

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

model_file=Models/SmolLM2-135M-Instruct.Q4_1.gguf
qlora=.build/release/qlora
