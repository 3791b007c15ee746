#!/usr/bin/env bash
# Makes a folder with qlora and qlora-bench that runs on a machine without Swift: Swift's runtime is
# inside them, the system libraries that they are linked with lie beside them.
# usage: Scripts/pack.sh FOLDER      (made anew; about as large as OpenBLAS and two programs)
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ $# -eq 1 ] || fail 64 "usage: Scripts/pack.sh FOLDER"
folder="$1"
build=.build-static

# `$ORIGIN` is the loader's word for the program's own folder.
options=(-c release --scratch-path "$build" --static-swift-stdlib
  -Xlinker -rpath -Xlinker "\$ORIGIN/lib")
for product in qlora qlora-bench; do
  swift build "${options[@]}" --product "$product"
done

rm -rf "$folder"
mkdir -p "$folder/lib"
for product in qlora qlora-bench; do
  install -m 755 "$build/release/$product" "$folder/$product"
  strip "$folder/$product"
done
cp -r Recipes "$folder/Recipes"
# What every Linux has, its C library first of all, must be that machine's own.
ours='^/.*/(ld-linux.*|libc|libm|libdl|librt|libpthread|libresolv|libutil|libgcc_s|libstdc\+\+)\.so'
for library in $(ldd "$folder/qlora" "$folder/qlora-bench" \
  | sed -nE 's/.*=> (\/[^ ]+) .*/\1/p' | sort -u); do
  if [[ ! "$library" =~ $ours ]]; then
    cp -L "$library" "$folder/lib/"
  fi
done
mkdir -p "$folder/goldens/tiny-llama"
cp Tests/Goldens/tiny-llama-training.safetensors "$folder/goldens/"
cp Tests/Goldens/tiny-llama/* "$folder/goldens/tiny-llama/"
install -m 755 Scripts/device_check.sh "$folder/device_check.sh"
say "pack.sh: $(du -sh "$folder" | cut -f 1) in $folder"
