#!/usr/bin/env bash
# Makes the goldens again with the reference libraries: every make_*.py writes into the folder that
# it is given. Deterministic for the versions that Tests/Goldens/MANIFEST.json names.
# usage: Scripts/goldens/run.sh [FOLDER]     (Tests/Goldens when none is named)
set -euo pipefail
source "$(dirname "$0")/../common.sh"

folder="${1:-Tests/Goldens}"
python="$(interop_python)" \
  || fail 66 "no reference libraries; run make test-interop once, or set QLORA_INTEROP_PYTHON"
Scripts/fetch-smollm2.sh
"$python" Scripts/float32_model.py

for script in Scripts/goldens/make_*.py; do
  say "goldens: $script"
  "$python" "$script" "$folder"
done
