#!/usr/bin/env bash
# What takes too long for every change. Each part prints what it found; Docs/Reliability.md says
# what is expected.
# usage: Scripts/soak/run.sh [PART]…      (all when none is named)
#   fuzz      two million executions of each target, or an hour of each
#   memory    what the largest headers make the program take
#   survive   kills, signals, races, full disks, a long run, the resume matrix (survive.sh)
#   sanitize  kernels and thread pool under sanitizers, kernels under valgrind
set -euo pipefail
source "$(dirname "$0")/../common.sh"

parts=("$@")
[ "${#parts[@]}" -gt 0 ] || parts=(memory survive sanitize fuzz)

say "run.sh: $(date -u +%Y-%m-%d), commit $(git rev-parse --short HEAD)," \
  "$(sed -nE 's/^model name[^:]*: (.*)/\1/p' /proc/cpuinfo | head -n 1), $(nproc) processors"
for part in "${parts[@]}"; do
  say "run.sh: $part"
  case "$part" in
    fuzz) FUZZ_RUNS="${FUZZ_RUNS:-2000000}" FUZZ_JOBS="${FUZZ_JOBS:-2}" Scripts/soak/fuzz.sh 3600 ;;
    memory) python3 Scripts/soak/memory.py ;;
    survive) Scripts/soak/survive.sh ;;
    sanitize) Scripts/soak/sanitize.sh ;;
    *) fail 64 "no part \"$part\"; there are fuzz, memory, survive and sanitize" ;;
  esac
done
