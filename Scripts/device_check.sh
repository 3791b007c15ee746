#!/usr/bin/env bash
# Everything that only a machine with a GPU can say, in one run of 9 minutes at most: JSON lines on
# the standard output, progress on the other. Needs the folder that Scripts/pack.sh makes, this
# script in it; or the build of the sources. Nothing is fetched.
# usage: device_check.sh [RESULTS]
#   RESULTS: a folder that gets the output of each part, and summary.jsonl.
#   Each part has a limit of its own, so that one that hangs leaves time for the others, and those
#   that are worth most come first. The status is 0 where all went well, 1 where a part failed, and
#   69 where there is no GPU: then only what needs none was done.
#   QLORA_CHECK_SECONDS: for all parts together, 540 if nothing is said; what then has no time left
#   is said and passed over.
#   PYTHON: one with torch, transformers, peft and bitsandbytes, for the comparison; python3 if
#   nothing is said. QLORA_CHECK_PARTS: names of parts, to run those alone.
set -uo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
folder="$here"
goldens="$here/goldens"
peer="$here/bench/peer_device.py"
if [ ! -x "$folder/qlora-bench" ]; then
  folder="$(cd "$here/.." && pwd)/.build/release"
  goldens="$(cd "$here/.." && pwd)/Tests/Goldens"
  peer="$here/bench/peer_device.py"
fi
if [ ! -x "$folder/qlora" ] || [ ! -x "$folder/qlora-bench" ]; then
  printf 'device_check.sh: no qlora and qlora-bench in %s\n' "$folder" >&2
  exit 66
fi
results="${1:-$(mktemp -d)}"
mkdir -p "$results" || exit 73
export QLORA_CACHE="${QLORA_CACHE:-$results/cache}"
python="${PYTHON:-python3}"
failures=0
deadline=$(($(date +%s) + ${QLORA_CHECK_SECONDS:-540}))
: >"$results/summary.jsonl"

# say JSON: a line of the summary.
say() { printf '%s\n' "$1" | tee -a "$results/summary.jsonl"; }

# wanted NAME: whether a part is to be run.
wanted() {
  [ -z "${QLORA_CHECK_PARTS:-}" ] && return 0
  case " $QLORA_CHECK_PARTS " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# part SECONDS NAME COMMAND…: runs it within the limit, and says how it ended.
part() {
  local limit="$1" name="$2" start code
  shift 2
  wanted "$name" || return 0
  start="$(date +%s)"
  [ "$limit" -le $((deadline - start)) ] || limit=$((deadline - start))
  if [ "$limit" -lt 5 ]; then
    failures=$((failures + 1))
    skip "$name" "no time is left"
    return 0
  fi
  printf '%s …\n' "$name" >&2
  timeout --kill-after=5 "$limit" "$@" >"$results/$name.jsonl" 2>"$results/$name.log"
  code=$?
  # What went well for each operation is in the file alone.
  grep -vE '"check": "(begins|right)"' "$results/$name.jsonl"
  [ "$code" -eq 0 ] || failures=$((failures + 1))
  # The end of what a part that failed has said, where it can be seen at once.
  [ "$code" -eq 0 ] || tail -n 12 "$results/$name.log" >&2
  say "$(printf '{"part": "%s", "exitCode": %d, "wallSeconds": %d, "limitSeconds": %d}' \
    "$name" "$code" "$(($(date +%s) - start))" "$limit")"
}

# skip NAME WHY
skip() {
  if wanted "$1"; then say "$(printf '{"part": "%s", "skipped": "%s"}' "$1" "$2")"; fi
}

step() {
  "$folder/qlora-bench" step --device cuda --compute-dtype bfloat16 --warmup 2 --json "$@"
}

decode() {
  "$folder/qlora-bench" decode --device cuda --compute-dtype bfloat16 --json "$@"
}

# Every operation beside the processor's. A GPU that a kernel has broken is lost to its process, and
# a kernel may not come to an end: a new process goes on after the operation that it began last.
checked() {
  local said first=0 code place status=0
  said="$(mktemp)"
  for _ in 1 2 3 4 5 6; do
    timeout --kill-after=5 80 "$folder/qlora-bench" check --goldens "$goldens" --first "$first" \
      | tee "$said"
    code="${PIPESTATUS[0]}"
    if [ "$code" -eq 0 ]; then return "$status"; fi
    status=1
    if [ "$code" -eq 1 ] && grep -q '"check": "operations"' "$said"; then return 1; fi
    place="$(grep -oE '"begins", "place": [0-9]+' "$said" | tail -n 1 | grep -oE '[0-9]+$')"
    if [ -z "$place" ]; then return 1; fi
    printf '{"check": "ended", "place": %d, "exitCode": %d}\n' "$place" "$code"
    first=$((place + 1))
  done
  return 1
}

# The same step twice, whose losses and norms must be the same to the last bit.
repeated() {
  local runs
  runs="$(
    for _ in 1 2; do step --shape smollm2-135m --sequences 4 --length 512 --steps 2; done
  )" || return 1
  printf '%s\n' "$runs"
  [ "$(grep -oE '"(losses|gradientNorms)": \[[^]]*\]' <<<"$runs" | sort | uniq -c \
    | awk '$1 != 2' | wc -l)" -eq 0 ]
}

# A step of a whole model on the processor and on the GPU: the loss within 0.1 %, and the gradient's
# norm within 1 %.
oracle() {
  local runs
  runs="$(
    for device in cpu cuda; do
      "$folder/qlora-bench" step --device "$device" --compute-dtype bfloat16 --warmup 0 --steps 1 \
        --shape llama-1b --sequences 1 --length 512 --json || exit
    done
  )" || return 1
  printf '%s\n' "$runs"
  near losses 0.001 <<<"$runs" && near gradientNorms 0.01 <<<"$runs"
}

# near KEY LIMIT: whether the first numbers of KEY in two lines are no further apart, relatively.
near() {
  grep -oE "\"$1\": \[[0-9.e-]+" | sed 's/.*\[//' | awk -v limit="$2" '
    NR == 1 { first = $1 }
    NR == 2 { apart = (first - $1) / first; if (apart < 0) apart = -apart }
    END { exit !(NR == 2 && apart <= limit) }'
}

# A run of the tiny model, on the processor where FIRST or SECOND says so, cut after a checkpoint
# and resumed: the checkpoint moves from one device to the other.
# moved FIRST SECOND: each `cpu` or `gpu`.
moved() {
  local work pid
  work="$(mktemp -d)"
  tiny_run "$work"
  on "$1" "$folder/qlora" train "$work/recipe.json" --output "$work/run" --json >"$work/1" &
  pid=$!
  while kill -0 "$pid" 2>/dev/null && [ -z "$(ls "$work/run/checkpoints" 2>/dev/null)" ]; do
    sleep 0.05
  done
  kill -INT "$pid"
  wait "$pid"
  [ $? -eq 75 ] || { tail -n 3 "$work/1"; return 1; }
  on "$2" "$folder/qlora" resume "$work/run" --json >"$work/2" || return 1
  grep -hE '"event":"(prepared|warning)"' "$work/1" "$work/2"
  tail -n 1 "$work/2"
}

# Two whole runs on the GPU, whose adapters must be the same to the last byte, and what the model
# answers there and on the processor.
alike() {
  local work word
  work="$(mktemp -d)"
  tiny_run "$work"
  for word in a b; do
    on gpu "$folder/qlora" train "$work/recipe.json" --set training.steps=20 \
      --output "$work/$word" >&2 || return 1
  done
  cmp "$work/a/adapter/adapter_model.safetensors" "$work/b/adapter/adapter_model.safetensors" \
    || return 1
  for word in gpu cpu; do
    on "$word" "$folder/qlora" generate --model "$work/model" --adapter "$work/a/adapter" \
      --quantization nf4 --compute-dtype float32 --raw --prompt "play the song" --max-tokens 24 \
      --json | grep -oE '"text":"([^"\\]|\\.)*"' | tee "$work/$word.text"
  done
  cmp "$work/gpu.text" "$work/cpu.text"
}

# on DEVICE COMMAND…: without a GPU to be seen where the processor is meant.
on() {
  local device="$1"
  shift
  if [ "$device" = cpu ]; then CUDA_VISIBLE_DEVICES=-1 exec_or_run "$@"; else exec_or_run "$@"; fi
}

# A job in the background is replaced, so that its process is the one that gets the signal.
exec_or_run() { if [ "$BASHPID" != "$$" ]; then exec "$@"; else "$@"; fi; }

# tiny_run FOLDER: a model, rows and a recipe.
tiny_run() {
  local ask
  mkdir -p "$1/model"
  cp "$goldens"/tiny-llama/*.json "$goldens"/tiny-llama/model.safetensors \
    "$goldens"/tiny-chat/tokenizer*.json "$1/model/"
  for ask in door light song call ten off on at play; do
    printf '{"messages":[{"role":"user","content":"play the %s"},' "$ask"
    printf '{"role":"assistant","content":"%s at ten"}]}\n' "$ask"
  done >"$1/train.jsonl"
  cat >"$1/recipe.json" <<'RECIPE'
{
  "model": { "path": "model", "computeDType": "bfloat16" },
  "adapter": { "rank": 4, "alpha": 8, "dropout": 0.1 },
  "data": { "train": [{ "path": "train.jsonl" }], "maxTokens": 96 },
  "training": { "steps": 200, "batchSize": 1, "saveEvery": 5, "optimizer": { "type": "adamw8bit" } }
}
RECIPE
}
export -f step decode checked repeated oracle near moved alike on exec_or_run tiny_run
export folder goldens

part 30 doctor "$folder/qlora" doctor --json
# Whatever parts are wanted, the rest depends on it.
[ -e "$results/doctor.jsonl" ] || "$folder/qlora" doctor --json >"$results/doctor.jsonl"
# Without a GPU the kernels still compile, where NVRTC is there.
gpu="$(grep '"GPU"' "$results/doctor.jsonl" || true)"
if ! grep -q 'multiprocessors' <<<"$gpu"; then
  say '{"part": "gpu", "skipped": "no GPU that can be used; doctor says what is missing"}'
  if grep -q '"NVRTC"' "$results/doctor.jsonl"; then
    part 240 compile "$folder/qlora-bench" compile
  else
    skip compile "no NVRTC; see Docs/Guide/gpu.md"
  fi
  exit 69
fi
level="$(grep -oE 'sm_[0-9]+' <<<"$gpu" | head -n 1 | tr -d 'sm_')"

# 1. Is it right? Without this nothing else counts. Its first start compiles the kernels.
part 170 check bash -c checked
# 2. The numbers that are asked for.
part 75 llama-8b bash -c 'step --shape llama-8b --sequences 1 --length 2048 --steps 4'
part 60 llama-8b-recomputing \
  bash -c 'step --shape llama-8b --sequences 1 --length 2048 --steps 3 --checkpointing'
part 90 oracle bash -c oracle
part 40 smollm2 bash -c 'step --shape smollm2-135m --sequences 8 --length 2048 --steps 6'
part 60 decode bash -c 'decode --shape llama-8b --count 256'
part 60 profile bash -c 'step --shape llama-8b --sequences 1 --length 2048 --steps 2 --profile'
part 60 decode-unrecorded bash -c 'decode --shape llama-8b --count 256 --plain'
part 45 determinism bash -c repeated
part 40 runs bash -c alike
part 30 to-the-gpu bash -c 'moved cpu gpu'
part 30 to-the-processor bash -c 'moved gpu cpu'
# 3. What its parts reach.
part 60 compile "$folder/qlora-bench" compile --level "${level:-90}"
part 60 device "$folder/qlora-bench" device
part 50 kept-outside bash -c 'step --shape llama-8b --sequences 1 --length 2048 --steps 2 \
  --activation-memory host'
# Less than the step takes, so that weights wait in the host's memory.
part 60 weights-outside bash -c 'step --shape llama-8b --sequences 1 --length 512 --steps 2 \
  --checkpointing --max-memory 4GiB'
part 40 paged bash -c 'step --shape llama-8b --sequences 1 --length 512 --steps 2 \
  --checkpointing --optimizer pagedadamw'
# 4. The same by others, on this card.
if "$python" -c 'import torch, transformers, peft, bitsandbytes' >"$results/peer.log" 2>&1; then
  part 120 peer-llama-8b "$python" "$peer" --shape llama-8b --sequences 1 --length 2048
  part 90 peer-llama-8b-recomputing \
    "$python" "$peer" --shape llama-8b --sequences 1 --length 2048 --checkpointing
  part 60 peer-smollm2 "$python" "$peer" --shape smollm2-135m --sequences 8 --length 2048
else
  skip peer "$python has not all of torch, transformers, peft and bitsandbytes"
fi
command -v nvidia-smi >/dev/null && nvidia-smi >"$results/nvidia-smi.txt" 2>&1
[ "$failures" -eq 0 ]
