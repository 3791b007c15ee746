#!/usr/bin/env bash
# Compares the release binary with the reference libraries and writes what it found to
# Docs/Benchmarks/interop-summary.txt.
# usage: Scripts/interop/run.sh [NAME]…        (all checks when none is named)
# QLORA_INTEROP_PYTHON names a Python that has the libraries; without it .venv-interop is made.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

[ -x "$qlora" ] || fail 66 "$qlora is missing; run make build"

if ! python="$(interop_python)"; then
  [ -z "${QLORA_INTEROP_PYTHON:-}" ] \
    || fail 66 "QLORA_INTEROP_PYTHON=$QLORA_INTEROP_PYTHON is no Python that imports torch"
  say "run.sh: making .venv-interop (several GB, once)"
  python3 -m venv .venv-interop \
    || fail 69 "python3 has no venv module; on Debian and Ubuntu: sudo apt-get install python3-venv"
  .venv-interop/bin/python -m pip install --quiet --disable-pip-version-check \
    --requirement Scripts/interop/requirements.txt \
    || fail 69 "pip could not install Scripts/interop/requirements.txt"
  python="$(interop_python)" || fail 70 "torch was installed and can't be imported"
fi

Scripts/setup.sh model
Scripts/fetch-smollm2.sh
"$python" Scripts/float32_model.py

# The quick ones first, so that what is wrong everywhere shows soon.
checks=("$@")
if [ "${#checks[@]}" -eq 0 ]; then
  checks=(contract safetensors_parity gguf_smollm2 rows_parity equivalence peft_roundtrip
    training_parity text_parity)
fi

# The libraries' bars and notes say nothing about the comparison.
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TQDM_DISABLE=1

summary=Docs/Benchmarks/interop-summary.txt
lines="$(mktemp)"
trap 'rm -f "$lines"' EXIT
{
  echo "qlora beside the reference libraries: what make test-interop found, line by line."
  echo "date: $(date -u +%Y-%m-%d)"
  echo "qlora: $("$qlora" --version), commit $(git rev-parse --short HEAD)"
  echo "processor: $(sed -nE 's/^model name[^:]*: (.*)/\1/p' /proc/cpuinfo | head -n 1)"
  "$python" - <<'PYTHON'
import importlib.metadata as metadata
import platform
names = "torch transformers peft bitsandbytes safetensors gguf tokenizers".split()
versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
print(f"libraries: Python {platform.python_version()}, {versions}")
PYTHON
} >"$lines"

failed=0
for check in "${checks[@]}"; do
  printf '\n%s\n' "$check" | tee -a "$lines"
  if QLORA_BINARY="$repository/$qlora" "$python" -W ignore "Scripts/interop/$check.py" | tee -a "$lines"; then
    :
  else
    printf '%s: FAILED\n' "$check" | tee -a "$lines"
    failed=1
  fi
done

# A part of the checks must not pass for all of them.
if [ "$#" -eq 0 ]; then
  cp "$lines" "$summary"
  say "run.sh: wrote $summary"
fi
exit "$failed"
