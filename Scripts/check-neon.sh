#!/usr/bin/env bash
# Compiles the kernels for AArch64 and compares the NEON ones with the reference in an emulator.
# Needs clang and, of Debian: qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross.
set -euo pipefail
source "$(dirname "$0")/common.sh"

kernels=Sources/CQLoRAKernels
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

for source in Scripts/kernel-check.c "$kernels"/*.c "$kernels"/{reference,arm_neon}/*.c; do
  object="$work/$(printf '%s' "$source" | tr / _).o"
  clang --target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include -O2 -std=gnu17 \
    -Wall -Wextra -I "$kernels/include" -c "$source" -o "$object"
done
aarch64-linux-gnu-gcc -static -o "$work/check" "$work"/*.o -lm
qemu-aarch64 "$work/check"
