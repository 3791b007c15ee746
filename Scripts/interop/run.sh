#!/usr/bin/env bash
# Compares the release binary with the reference libraries and writes what it found to
# Docs/Benchmarks/interop-summary.txt: a section for each check with the date and commit of its
# last run, so that one check can be run again without the others.
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
all=(contract tensorboard_events safetensors_parity format_differential gguf_smollm2 rows_parity
  data_files equivalence peft_roundtrip families training_parity text_parity text_kinds
  template_kinds quantized_folder quantized_models image_adapters image_pipelines int8_folder
  llama_cpp hub_cache openai_client chat_terminal recipe_schema classifier saved_modules
  reading_models)
checks=("$@")
[ "${#checks[@]}" -gt 0 ] || checks=("${all[@]}")
for check in "${checks[@]}"; do
  [ -f "Scripts/interop/$check.py" ] || fail 64 "no check \"$check\"; there are ${all[*]}"
done

# The libraries' bars and notes say nothing about the comparison.
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TQDM_DISABLE=1
export QLORA_BINARY="$repository/$qlora"

sections=.build/interop
summary=Docs/Benchmarks/interop-summary.txt
mkdir -p "$sections"

libraries="$("$python" - <<'PYTHON'
import importlib.metadata as metadata
import platform
names = (
    "torch transformers peft bitsandbytes safetensors gguf tokenizers sentencepiece pyarrow "
    "datasets tensorboard xllamacpp openai check-jsonschema"
).split()
versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
print(f"Python {platform.python_version()}, {versions}")
PYTHON
)"

failed=0
for check in "${checks[@]}"; do
  say "run.sh: $check"
  lines="$sections/$check.partial"
  printf '== %s (%s, commit %s)\n' \
    "$check" "$(date -u +%Y-%m-%d)" "$(git rev-parse --short HEAD)" >"$lines"
  if ! "$python" -W ignore "Scripts/interop/$check.py" | tee -a "$lines"; then
    printf '%s: FAILED\n' "$check" | tee -a "$lines"
    failed=1
  fi
  mv "$lines" "$sections/$check.txt"
done

{
  echo "qlora beside the reference libraries: what make test-interop found, check by check."
  echo "qlora: $("$qlora" --version)"
  echo "processor: $(sed -nE 's/^model name[^:]*: (.*)/\1/p' /proc/cpuinfo | head -n 1)"
  echo "libraries: $libraries"
  for check in "${all[@]}"; do
    echo
    if [ -f "$sections/$check.txt" ]; then
      cat "$sections/$check.txt"
    else
      echo "== $check (not run)"
    fi
  done
} >"$summary.partial"
mv "$summary.partial" "$summary"
say "run.sh: wrote $summary"
exit "$failed"
