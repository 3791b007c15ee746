#!/usr/bin/env bash
# Makes a folder with qlora and qlora-bench that runs on a Linux without Swift: Swift's runtime is
# in the programs, and beside them lie OpenBLAS and the other libraries that not each Linux has.
# usage: Scripts/pack.sh FOLDER [ARCHIVE.tar.xz]      (the folder is made anew)
#   QLORA_STATIC_BUILD: another folder for the build than .build/static.
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ $# -eq 1 ] || [ $# -eq 2 ] || fail 64 "usage: Scripts/pack.sh FOLDER [ARCHIVE.tar.xz]"
folder="$1"
archive="${2:-}"
programs=(qlora qlora-bench)
build="${QLORA_STATIC_BUILD:-.build/static}"
# SwiftPM lets the loader look beside a program; with the old kind of search path libraries find
# each other there, too.
options=(-c release --scratch-path "$build" --static-swift-stdlib -Xlinker --disable-new-dtags)
for program in "${programs[@]}"; do
  swift build "${options[@]}" --product "$program"
done
built="$(swift build "${options[@]}" --show-bin-path)"

rm -rf "$folder"
mkdir -p "$folder"/goldens/{tiny-llama,tiny-chat} "$folder/bench"
# Whatever a machine's C library and graphics driver belong to must be that machine's own.
own='/(ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil)\.so'
for program in "${programs[@]}"; do
  # Debugging symbols are three quarters of a program.
  strip -o "$folder/$program" "$built/$program"
  ldd "$built/$program" | sed -nE 's/.*=> (\/[^ ]+) .*/\1/p'
done | sort -u | while read -r library; do
  [[ "$library" =~ $own ]] || strip -o "$folder/$(basename "$library")" "$(readlink -f "$library")"
done
if ls "$folder" | grep -q '^libswift\|^libFoundation'; then
  fail 70 "a program still needs Swift's libraries: $(ls "$folder" | tr '\n' ' ')"
fi
for program in "${programs[@]}"; do
  # The libraries of this machine must not be found before those of the folder.
  foreign="$(ldd "$folder/$program" | sed -nE 's/.*=> (.*) \(.*/\1/p' | grep -vE "$own" \
    | grep -vF "$(cd "$folder" && pwd)/" || true)"
  [ -z "$foreign" ] || fail 70 "$program takes libraries from elsewhere: $foreign"
  env -i HOME=/nonexistent "$folder/$program" --help >/dev/null || fail 70 "$program does not start"
done

cp -r Recipes "$folder/Recipes"
cp Tests/Goldens/tiny-llama-training.safetensors "$folder/goldens/"
cp Tests/Goldens/tiny-llama/* "$folder/goldens/tiny-llama/"
cp Tests/Goldens/tiny-chat/tokenizer*.json "$folder/goldens/tiny-chat/"
cp Scripts/bench/peer_device.py "$folder/bench/"
install -m 755 Scripts/device_check.sh "$folder/device_check.sh"
for file in "${programs[@]}"; do say "pack.sh: $file $(stat -c %s "$folder/$file") bytes"; done
say "pack.sh: $(du -sm "$folder" | cut -f 1) MiB in $folder"
if [ -n "$archive" ]; then
  tar -C "$(dirname "$folder")" -cJf "$archive" "$(basename "$folder")"
  say "pack.sh: $(stat -c %s "$archive") bytes in $archive"
fi
