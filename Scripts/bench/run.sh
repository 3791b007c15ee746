#!/usr/bin/env bash
# Builds and fetches what a benchmark needs, then runs it: `run.sh step|scale [options]`. Machines
# are noisy, so only what one sitting compares counts.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

what="${1:-step}"
case "$what" in
  step | scale) ;;
  *) fail 64 "no benchmark \"$what\"; there are step and scale" ;;
esac
shift || true

Scripts/setup.sh
command -v python3 >/dev/null || fail 69 "python3 is missing, which writes the tables"
swift build -c release --product qlora-bench >&2
if [ "$what" = step ]; then
  swift build -c release --product qlora >&2
  Scripts/fetch-smollm2.sh
  if python="$(interop_python)"; then
    # In a process of its own, so that dequantizing does not count in the peer's peak memory.
    "$python" Scripts/float32_model.py
    export QLORA_BENCH_PYTHON="$python"
  fi
fi
exec python3 "Scripts/bench/$what.py" "$@"
