#!/usr/bin/env bash
# Fuzzes the readers of foreign files under AddressSanitizer, beginning with the committed corpus.
# usage: Scripts/soak/fuzz.sh [SECONDS [TARGET]…]      (30 seconds of each target by default)
# FUZZ_RUNS=N stops a target after N executions; FUZZ_JOBS=N runs N targets at once. What is found
# stays in .build-fuzz/findings; Docs/Reliability.md says what to do with it.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

seconds="${1:-30}"
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] \
  || targets=(safetensors gguf tokenizer pieces template recipe rows table container manifest
    request)
runs="${FUZZ_RUNS:--1}"
jobs="${FUZZ_JOBS:-1}"
build=.build-fuzz
driver="$build/release/FuzzDriver"

mkdir -p "$build"
# SwiftPM knows one sanitizer for the link and another for the code; both are wanted everywhere.
QLORA_FUZZ=1 swift build -c release --scratch-path "$build" --sanitize=fuzzer \
  -Xswiftc -sanitize=fuzzer,address --product FuzzDriver >"$build/build.log" 2>&1 \
  || { tail "$build/build.log" >&2; fail 70 "$driver can't be built"; }

fuzz() {
  local target="$1"
  local corpus="$build/corpus/$target" log="$build/$target.log"
  mkdir -p "$corpus" "$build/findings"
  # The interpreter of templates may take long by its limits; everything else answers at once.
  # A crash must not wait for the backtracer, which reads symbols for minutes.
  # Leaks are not looked for: pointers in Swift's enumerations carry tags that hide them.
  SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=32 \
    QLORA_FUZZ_TARGET="$target" "$driver" \
    -max_total_time="$seconds" -runs="$runs" -timeout=5 -report_slow_units=1 -print_funcs=0 \
    -rss_limit_mb=1024 -max_len=1024 -reload=0 -print_final_stats=1 \
    -artifact_prefix="$build/findings/$target-" -dict=Scripts/soak/fuzz.dict \
    "$corpus" "Tests/Goldens/fuzz/$target" >"$log" 2>&1 </dev/null || true
  local count rate coverage memory
  count="$(sed -nE 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)"
  rate="$(sed -nE 's/^stat::average_exec_per_sec: *//p' "$log" | tail -n 1)"
  memory="$(sed -nE 's/^stat::peak_rss_mb: *//p' "$log" | tail -n 1)"
  coverage="$(sed -nE 's/.*cov: ([0-9]+).*/\1/p' "$log" | tail -n 1)"
  local findings
  findings="$(find "$build/findings" -name "$target-*" | wc -l)"
  printf '%-12s %10s executions %7s/s %6s edges %5s MiB %3s findings\n' \
    "$target" "${count:-none}" "${rate:-0}" "${coverage:-0}" "${memory:-0}" "$findings"
}

for target in "${targets[@]}"; do
  [ -d "Tests/Goldens/fuzz/$target" ] || fail 64 "there is no target \"$target\""
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  fuzz "$target" &
done
wait
[ -z "$(find "$build/findings" -type f 2>/dev/null)" ] \
  || fail 70 "there are findings in $build/findings"
