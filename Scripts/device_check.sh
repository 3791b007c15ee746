#!/usr/bin/env bash
# Everything that only a machine with a GPU can say, in one run of under 8 minutes: JSON lines on
# the standard output, progress on the other. Needs the folder that Scripts/pack.sh makes, this
# script in it; or the build of the sources.
# usage: device_check.sh [FOLDER]
#   Each part has a limit of its own, so that one that hangs leaves time for the others; a part that
#   fails is a line of its own, and the script ends with 1.
set -uo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
folder="${1:-$here}"
goldens="$folder/goldens"
if [ ! -x "$folder/qlora-bench" ]; then
  folder="$here/../.build/release"
  goldens="$here/../Tests/Goldens"
fi
# A packed folder has its libraries beside the programs.
[ -e "$folder/libswiftCore.so" ] \
  && export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
failures=0

# part SECONDS NAME COMMAND…: runs it within the limit, and says how it ended.
part() {
  local limit="$1" name="$2" start code
  shift 2
  printf '%s …\n' "$name" >&2
  start="$(date +%s)"
  timeout "$limit" "$@"
  code=$?
  [ "$code" -eq 0 ] || failures=$((failures + 1))
  printf '{"part": "%s", "exitCode": %d, "wallSeconds": %d}\n' "$name" "$code" \
    "$(($(date +%s) - start))"
}

step() {
  "$folder/qlora-bench" step --device cuda --compute-dtype bfloat16 --warmup 2 --json "$@"
}

# The same step twice, whose losses and norms must be the same to the last bit.
repeated() {
  local runs
  runs="$(for _ in 1 2; do step --shape smollm2-135m --sequences 4 --length 512 --steps 2; done)" \
    || return 1
  printf '%s\n' "$runs"
  [ "$(grep -oE '"(losses|gradientNorms)": \[[^]]*\]' <<<"$runs" | sort | uniq -c \
    | awk '$1 != 2' | wc -l)" -eq 0 ]
}
export -f step repeated
export folder

part 30 doctor "$folder/qlora" doctor --json
part 150 check "$folder/qlora-bench" check --goldens "$goldens"
part 60 device "$folder/qlora-bench" device
part 60 determinism bash -c repeated
part 90 llama-8b bash -c 'step --shape llama-8b --sequences 1 --length 2048 --steps 4'
part 60 llama-8b-recomputing \
  bash -c 'step --shape llama-8b --sequences 1 --length 2048 --steps 2 --checkpointing'
part 30 smollm2 bash -c 'step --shape smollm2-135m --sequences 8 --length 2048 --steps 4'
command -v nvidia-smi >/dev/null && nvidia-smi >&2
[ "$failures" -eq 0 ]
