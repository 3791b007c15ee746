#!/usr/bin/env bash
# From a clone to a fine-tuned model: installs, builds, fetches the base model, measures it on all
# test rows, trains the shipped recipe, measures again, and says where the adapter is. Results go to
# stdout, all else to stderr.
# usage: Scripts/quickstart.sh [--short]
#   --short  six steps into a temporary folder, and 20 rows: checks that it runs and that the loss
#            falls, says nothing about quality; make check uses it
set -euo pipefail
source "$(dirname "$0")/common.sh"

recipe=Recipes/smollm2-135m-qlora-tool-calls.json
rows=Datasets/tool-calls/test.jsonl
short=false
case "${1-}" in
  '') ;;
  --short) short=true ;;
  *) fail 64 "unknown argument \"$1\"; there is only --short" ;;
esac

Scripts/setup.sh
say "quickstart.sh: building (release)"
swift build -c release --product qlora >&2
swift build -c release --product make-tool-calls >&2
Scripts/fetch-smollm2.sh

python="$(python_with_pip)"
# number FILE KEY…: the value at a path of keys in a JSON file, or nothing.
number() {
  "$python" - "$@" <<'PYTHON'
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    value = json.load(file)
for key in sys.argv[2:]:
    value = value.get(key) if isinstance(value, dict) else None
print("" if value is None else value)
PYTHON
}

# A folder of its own for each start: a finished or interrupted run is never touched.
fresh_output() {
  local base=runs/tool-calls candidate n=2
  candidate="$base"
  while [ -e "$candidate" ]; do
    candidate="$base-$n"
    n=$((n + 1))
  done
  if [ "$candidate" != "$base" ]; then
    say "quickstart.sh: $base exists and stays as it is; this run goes to $candidate" \
      "(an interrupted run continues with: $qlora resume RUN_DIR)"
  fi
  output="$candidate"
}

work="$(mktemp -d "${TMPDIR:-/tmp}/qlora-quickstart-XXXXXX")"
trap 'rm -rf "$work"' EXIT
evaluation=(--data "$rows" --format messages --metric loss,exact_match --group-by phrasing --json)
training=()
if $short; then
  output="$work/run"
  evaluation+=(--rows 20 --examples 2)
  training+=(--set training.steps=6 --set training.schedule.warmupSteps=1
    --set training.evalEvery=0 --set training.saveEvery=0 --set data.validation=[])
else
  fresh_output
  evaluation+=(--examples 5)
fi

say "quickstart.sh: evaluating the base model on held-out rows"
# The base as training sees it, so that the adapter is all that differs.
"$qlora" eval --model "$model_file" --quantization nf4 --compute-dtype bfloat16 \
  "${evaluation[@]}" >"$work/before.json"

say "quickstart.sh: training $recipe"
started="$(date +%s.%N)"
"$qlora" train "$recipe" --output "$output" ${training[@]+"${training[@]}"} >&2
finished="$(date +%s.%N)"
# The whole command: loading, encoding, steps, validation, checkpoints and the adapter.
train_seconds="$("$python" -c "print(round($finished - $started, 1))")"

say "quickstart.sh: evaluating with the adapter"
"$qlora" eval --model "$model_file" --adapter "$output/adapter" \
  "${evaluation[@]}" >"$work/after.json"

if $short; then
  "$python" - "$output/metrics.jsonl" <<'PYTHON'
import json, sys
losses = [row["loss"] for row in map(json.loads, open(sys.argv[1])) if "loss" in row]
if len(losses) != 6 or not losses[-1] < losses[0]:
    sys.exit(f"quickstart.sh: error: expected six losses, the last below the first: {losses}")
print(f"loss first {losses[0]:.4f} last {losses[-1]:.4f} steps {len(losses)}")
PYTHON
fi

# What copying the answer of the most similar training row would reach.
.build/release/make-tool-calls --baseline
for group in known unknown; do
  if [ -n "$(number "$work/after.json" groups "$group" exactMatch)" ]; then
    printf '%sPhrasings exactMatch before %s after %s rows %s\n' "$group" \
      "$(number "$work/before.json" groups "$group" exactMatch)" \
      "$(number "$work/after.json" groups "$group" exactMatch)" \
      "$(number "$work/after.json" groups "$group" rows)"
  fi
done
printf 'exactMatch before %s after %s rows %s trainSeconds %s\n' \
  "$(number "$work/before.json" exactMatch)" "$(number "$work/after.json" exactMatch)" \
  "$(number "$work/after.json" rows)" \
  "$train_seconds"
printf '%s\n' "$output/adapter"
