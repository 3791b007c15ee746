#!/usr/bin/env bash
# Installs the built qlora with its recipes, manual pages and completions. Needs `make build`.
# usage: PREFIX=/usr/local Scripts/install.sh      (~/.local by default)
set -euo pipefail
source "$(dirname "$0")/common.sh"

prefix="${PREFIX:-$HOME/.local}"
qlora=.build/release/qlora
[ -x "$qlora" ] || fail 66 "build it first: make build"
pages="$(mktemp -d)"
trap 'rm -rf "$pages"' EXIT
"$qlora" manual --output "$pages"

install -d "$prefix/bin"
# Debugging information is two thirds of the file; names stay, for traces of a crash.
strip -S -o "$prefix/bin/qlora" "$qlora" 2>/dev/null || cp "$qlora" "$prefix/bin/qlora"
chmod 755 "$prefix/bin/qlora"
# Where `qlora recipes` looks.
install -d "$prefix/share/qlora/Recipes"
install -m 644 Recipes/*.json Recipes/README.md "$prefix/share/qlora/Recipes/"
install -d "$prefix/share/man/man1"
install -m 644 "$pages"/*.1 "$prefix/share/man/man1/"
# complete SHELL FILE
complete() {
  install -d "$(dirname "$2")"
  "$qlora" completions "$1" >"$2"
}
complete bash "$prefix/share/bash-completion/completions/qlora"
complete zsh "$prefix/share/zsh/site-functions/_qlora"
complete fish "$prefix/share/fish/vendor_completions.d/qlora.fish"
say "install.sh: $prefix/bin/qlora"
case ":$PATH:" in
  *":$prefix/bin:"*) ;;
  *) say "install.sh: $prefix/bin is not on PATH yet" ;;
esac
