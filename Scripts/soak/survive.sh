#!/usr/bin/env bash
# What runs survive, at the length that is too long for every change; Docs/Reliability/kills.md has
# what came of it. Needs the release build of qlora.
# usage: Scripts/soak/survive.sh [PART]…      (all when none is named)
#   kills    1,100 runs, killed at random moments, many within a save
#   signals  50 runs for each signal while loading, stepping and saving
#   races    200 pairs of processes that want the same folder
#   disk     50 runs on disks that are too small (needs the right to mount)
#   long     20,000 steps
#   matrix   every kind of run, cut and resumed; 10,000 flipped bits; every failing file operation
set -euo pipefail
source "$(dirname "$0")/../common.sh"

parts=("$@")
[ "${#parts[@]}" -gt 0 ] || parts=(kills signals races disk long matrix)

for part in "${parts[@]}"; do
  case "$part" in
    kills) python3 Scripts/soak/kills.py ;;
    signals) python3 Scripts/soak/signal_trials.py ;;
    races) python3 Scripts/soak/races.py ;;
    disk) python3 Scripts/soak/full_disk.py ;;
    long) python3 Scripts/soak/long_run.py ;;
    matrix)
      QLORA_SOAK=1 swift test -c release --disable-testable-imports \
        --filter 'ResumeMatrixTests|everyFlippedBitIsFound|RunCrashTests'
      ;;
    *) fail 64 "no part \"$part\"; there are kills, signals, races, disk, long and matrix" ;;
  esac
done
