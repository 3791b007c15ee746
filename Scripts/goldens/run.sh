#!/usr/bin/env bash
# Makes the goldens again with the reference libraries: every make_*.py writes into the folder that
# it is given. What is drawn, quantized and tokenized comes out byte for byte the same with the
# versions that Tests/Goldens/MANIFEST.json names; losses and gradients differ in their last bits
# between processors, because torch chooses its kernels by them.
# usage: Scripts/goldens/run.sh [FOLDER]     (Tests/Goldens when none is named)
set -euo pipefail
source "$(dirname "$0")/../common.sh"

folder="${1:-Tests/Goldens}"
python="$(interop_python)" \
  || fail 66 "no reference libraries; run make test-interop once, or set QLORA_INTEROP_PYTHON"
Scripts/fetch-smollm2.sh
"$python" Scripts/float32_model.py

# The first makes the model that others need.
for script in Scripts/goldens/make_{goldens,*_goldens}.py; do
  say "goldens: $script"
  "$python" "$script" "$folder"
done
