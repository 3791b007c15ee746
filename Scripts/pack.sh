#!/usr/bin/env bash
# Makes a folder with qlora and qlora-bench that runs on a Linux without Swift: the programs, and
# beside them Swift's runtime, OpenBLAS and every other library that not each Linux has.
# usage: Scripts/pack.sh FOLDER      (made anew; 150 MB, and a fifth of that as a .tar.xz)
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ $# -eq 1 ] || fail 64 "usage: Scripts/pack.sh FOLDER"
folder="$1"
programs=(qlora qlora-bench)
for program in "${programs[@]}"; do
  swift build -c release --product "$program"
done

rm -rf "$folder"
mkdir -p "$folder/goldens/tiny-llama"
# The C library and what belongs to it must be that machine's own.
own='/(ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil|libgcc_s|libstdc\+\+)\.so'
for program in "${programs[@]}"; do
  # The loader looks beside a program, too: SwiftPM puts `$ORIGIN` into its search path.
  strip -o "$folder/$program" ".build/release/$program"
  ldd ".build/release/$program" | sed -nE 's/.*=> (\/[^ ]+) .*/\1/p'
done | sort -u | while read -r library; do
  [[ "$library" =~ $own ]] || cp -L "$library" "$folder/"
done
# Their dependencies are found beside them by the same path only where they say so, or by this.
cat >"$folder/run" <<'RUN'
#!/bin/sh
# Runs a program of this folder with the libraries beside it: ./run qlora doctor
here="$(cd "$(dirname "$0")" && pwd)"
program="$1"
shift
LD_LIBRARY_PATH="$here${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$here/$program" "$@"
RUN
chmod +x "$folder/run"
cp -r Recipes "$folder/Recipes"
cp Tests/Goldens/tiny-llama-training.safetensors "$folder/goldens/"
cp Tests/Goldens/tiny-llama/* "$folder/goldens/tiny-llama/"
install -m 755 Scripts/device_check.sh "$folder/device_check.sh"
say "pack.sh: $(du -sh "$folder" | cut -f 1) in $folder"
