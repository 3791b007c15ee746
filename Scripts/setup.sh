#!/usr/bin/env bash
# Installs with apt what this machine lacks; does nothing where all is present.
# usage: Scripts/setup.sh [build] [model]      (both when none is named)
#   build  what compiling needs: Swift (only checked), git, pkg-config, OpenBLAS, xxHash,
#          Oniguruma, zlib, Zstandard; libcurl, which is loaded when it is needed
#   model  what Scripts/fetch-smollm2.sh needs: Python with pip, unzip
#   pictures  what reads JPEG and WebP files, only when it is named
set -euo pipefail
source "$(dirname "$0")/common.sh"

missing=()

need_command() { command -v "$1" >/dev/null || missing+=("$2"); }

# Without pkg-config nothing is known of the libraries, and apt leaves alone what is there.
need_library() { pkg-config --exists "$1" 2>/dev/null || missing+=("$2"); }

# Loaded when it is needed, never linked; its package has another name in each release, so one
# that depends on it is installed.
need_loadable() {
  { PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null || true; } | grep "$1" >/dev/null \
    || missing+=("$2")
}

check_swift() {
  command -v swift >/dev/null \
    || fail 69 "Swift is not installed; get 6.1 or newer from https://www.swift.org/install"
  local version
  version="$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p' \
    | head -n 1)"
  if [ "$(printf '6.1\n%s\n' "${version:-0}" | sort -V | head -n 1)" != 6.1 ]; then
    fail 69 "Swift ${version:-of unknown version} found, 6.1 or newer is needed;" \
      "see https://www.swift.org/install"
  fi
}

install_missing() {
  local install="apt-get install -y --no-install-recommends ${missing[*]}"
  local by_hand="sudo apt-get update && sudo $install"
  local as_root=()
  command -v apt-get >/dev/null \
    || fail 69 "this machine has no apt; install what these Debian packages hold: ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
      say "setup.sh: not root, and sudo may not be used without a password. Run this, then again:"
      say "  $by_hand"
      exit 77
    fi
    as_root=(sudo)
  fi
  say "setup.sh: installing ${missing[*]}"
  # A stale or unreachable list need not stop an installation from a cache.
  ${as_root[@]+"${as_root[@]}"} apt-get update -qq >&2 || say "setup.sh: apt-get update failed"
  # The words of $install are the command.
  # shellcheck disable=SC2086
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive $install >&2 </dev/null \
    || fail 69 "apt could not install ${missing[*]}; see its message above, then run: $by_hand"
}

for group in "${@:-build model}"; do
  for part in $group; do
    case "$part" in
      build)
        check_swift
        need_command git git
        need_command pkg-config pkg-config
        need_library openblas libopenblas-dev
        need_library libxxhash libxxhash-dev
        need_library oniguruma libonig-dev
        need_library zlib zlib1g-dev
        need_library libzstd libzstd-dev
        need_loadable 'libcurl.*\.so\.4' curl
        ;;
      model)
        python_with_pip >/dev/null || missing+=(python3 python3-pip)
        need_command unzip unzip
        ;;
      pictures)
        turbojpeg=libturbojpeg0
        apt-cache show "$turbojpeg" >/dev/null 2>&1 || turbojpeg=libturbojpeg
        need_loadable 'libturbojpeg\.so\.0' "$turbojpeg"
        need_loadable 'libwebp\.so' libwebp7
        ;;
      *) fail 64 "unknown group \"$part\"; there are build, model and pictures" ;;
    esac
  done
done

[ "${#missing[@]}" -eq 0 ] || install_missing
