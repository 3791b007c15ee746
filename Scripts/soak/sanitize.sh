#!/usr/bin/env bash
# Sanitizers and valgrind over what is written in C and over the thread pool.
# usage: Scripts/soak/sanitize.sh [kernels|valgrind|threads]…      (all when none is named)
#   kernels   undefined behaviour and addresses: each instruction set beside the reference
#   valgrind  the same program without sanitizers; valgrind knows no AVX-512, so it is AVX2's
#   threads   data races: loading, quantizing and training on four threads under ThreadSanitizer
set -euo pipefail
source "$(dirname "$0")/../common.sh"

kernels=Sources/CQLoRAKernels
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# build NAME FLAG…: the program that compares kernels.
build() {
  local name="$1" source objects="$work/$1.objects"
  shift
  mkdir -p "$objects"
  for source in Scripts/kernel-check.c "$kernels"/*.c "$kernels"/{reference,x86_*}/*.c; do
    clang -std=gnu17 "$@" -I "$kernels/include" -c "$source" \
      -o "$objects/$(printf '%s' "$source" | tr / _).o"
  done
  clang "$@" "$objects"/*.o -lm -o "$work/$name" 2>"$work/link.log" || cat "$work/link.log" >&2
}

run_kernels() {
  build sanitized -g -O1 -fsanitize=undefined,address -fno-sanitize-recover=all
  local set
  for set in reference avx2 avx512; do
    [ "$set" = reference ] || grep -q "${set/512/512f}" /proc/cpuinfo || continue
    "$work/sanitized" "$set" | tail -n 1 | sed 's/^/undefined behaviour and addresses: /'
  done
}

run_valgrind() {
  command -v valgrind >/dev/null || fail 69 "valgrind is missing: apt-get install valgrind"
  # Without -g: older valgrinds cannot read the debugging information of newer compilers.
  build plain -O2
  QLORA_ISA=avx2 valgrind --quiet --error-exitcode=1 "$work/plain" avx2 | tail -n 1 \
    | sed 's/^/valgrind: /'
}

# under_threads NAME ARGUMENT…: one command of qlora under ThreadSanitizer, with a cache of its own.
under_threads() {
  local name="$1"
  shift
  SWIFT_BACKTRACE=enable=no QLORA_CACHE="$work/cache-$name" \
    TSAN_OPTIONS="suppressions=$work/suppressions:halt_on_error=1:exitcode=66" \
    .build-tsan/release/qlora "$@" >"$work/threads.log" 2>&1
}

# trial NAME KEY=VALUE…: two steps on four threads.
trial() {
  local name="$1" settings=() setting
  shift
  for setting in "$@" threads=4 training.steps=2 data.maxTokens=128 'data.validation=[]'; do
    settings+=(--set "$setting")
  done
  under_threads "$name" train Recipes/smollm2-135m-qlora-tool-calls.json "${settings[@]}" \
    --output "$work/run-$name" \
    || { grep -A 30 'WARNING: ThreadSanitizer' "$work/threads.log" | head -60 >&2
         tail -n 3 "$work/threads.log" >&2; fail 70 "there are data races, or the run failed"; }
  say "threads: $name: two steps on 4 threads: no race"
}

# What the process needs with every layer on the disk, in MiB, as the refusal of less says it.
least_memory() {
  under_threads least train Recipes/smollm2-135m-qlora-tool-calls.json --output "$work/least" \
    --set maxMemory.cpu=64MiB --set training.batchSize=1 --set data.maxTokens=128 || true
  sed -nE 's/.*E0563.* is ([0-9]+)MiB;.*/\1/p' "$work/threads.log"
}

run_threads() {
  Scripts/fetch-smollm2.sh
  swift build --sanitize=thread --scratch-path .build-tsan -c release --product qlora \
    >"$work/build.log" 2>&1 || { tail "$work/build.log" >&2; fail 70 "qlora can't be built"; }
  # OpenBLAS and Foundation are not built for the sanitizer; races are looked for in our code.
  printf 'called_from_lib:%s.so\n' libopenblas libFoundation libFoundationEssentials \
    >"$work/suppressions"
  local dtype least
  for dtype in bfloat16 float16 float32 int16; do trial "$dtype" "model.computeDType=$dtype"; done
  trial int8 model.quantization.type=int8 training.activationMemory=full
  trial paged training.optimizer.type=pagedadamw8bit
  least="$(least_memory)"
  trial placed "maxMemory.cpu=$((least + 12))MiB" training.batchSize=1
  under_threads generate generate --model Models/SmolLM2-135M-Instruct.Q4_1.gguf --threads 4 \
    --adapter "$work/run-bfloat16/adapter" --prompt hello --max-tokens 4 \
    || fail 70 "there are data races, or generating failed"
  say "threads: four tokens on 4 threads: no race"
}

parts=("$@")
[ "${#parts[@]}" -gt 0 ] || parts=(kernels valgrind threads)
for part in "${parts[@]}"; do
  case "$part" in
    kernels | valgrind | threads) "run_$part" ;;
    *) fail 64 "no part \"$part\"; there are kernels, valgrind and threads" ;;
  esac
done
