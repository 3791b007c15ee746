#!/usr/bin/env bash
# Makes the reference of the Swift library from its comments, and fails where one is missing or
# names what does not exist. Needs `swift build -c release`.
# usage: Scripts/docs.sh [DIR]      (.build/docs; a folder for any web server)
set -euo pipefail
source "$(dirname "$0")/common.sh"

output="${1:-.build/docs}"
build=.build/release
command -v docc >/dev/null || fail 69 "docc is missing; it comes with Swift's toolchain"
[ -e "$build/Modules/QLoRA.swiftmodule" ] \
  || fail 66 "build the library first: swift build -c release"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The modules of C that the library's own are built on.
maps=()
for map in "$build"/CQLoRA*.build/module.modulemap Sources/C*/module.modulemap; do
  [ -f "$map" ] && maps+=(-Xcc "-fmodule-map-file=$map")
done
target="$(swift -print-target-info | sed -nE 's/.*"unversionedTriple" *: *"([^"]*)".*/\1/p')"
swift-symbolgraph-extract -module-name QLoRA -I "$build/Modules" "${maps[@]}" -target "$target" \
  -minimum-access-level public -output-dir "$work" >"$work/log" 2>&1 \
  || { tail -n 5 "$work/log" >&2; fail 70 "the library's symbols can't be read"; }
rm -rf "$output"
docc convert Sources/QLoRA/QLoRA.docc --fallback-display-name QLoRA \
  --fallback-bundle-identifier swift-qlora.QLoRA --additional-symbol-graph-dir "$work" \
  --output-path "$output" --warnings-as-errors
say "docs.sh: the library's reference is in $output"
