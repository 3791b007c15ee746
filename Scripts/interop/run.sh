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

checks=("$@")
if [ "${#checks[@]}" -eq 0 ]; then
  for file in Scripts/interop/*.py; do
    case "$(basename "$file")" in
      common.py | reference.py) ;;
      *) checks+=("$(basename "$file" .py)") ;;
    esac
  done
fi

summary=Docs/Benchmarks/interop-summary.txt
lines="$(mktemp)"
trap 'rm -f "$lines"' EXIT
"$python" - <<'PYTHON' >"$lines"
import importlib.metadata as metadata
names = "torch transformers peft bitsandbytes safetensors gguf tokenizers".split()
print("libraries: " + ", ".join(f"{name} {metadata.version(name)}" for name in names))
PYTHON

failed=0
for check in "${checks[@]}"; do
  say "run.sh: $check"
  if QLORA_BINARY="$repository/$qlora" "$python" "Scripts/interop/$check.py" | tee -a "$lines"; then
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
