#!/usr/bin/env bash
# Times a training step of qlora and, where the reference libraries are installed, of PyTorch, in
# one sitting: machines are noisy, so only the ratio counts. Prints JSON lines, ours first.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

Scripts/setup.sh
Scripts/fetch-smollm2.sh
swift build -c release --product qlora-bench >&2

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

.build/release/qlora-bench step --model "$model_file" --json | tee "$work/ours.json"

if ! python="$(interop_python)"; then
  say "bench: no PyTorch; set QLORA_INTEROP_PYTHON or run make test-interop first to compare"
  exit 0
fi

# In a process of its own, so that dequantizing does not count in the peer's peak memory.
"$python" Scripts/float32_model.py
for options in '' --checkpointing; do
  # shellcheck disable=SC2086
  "$python" Scripts/bench/peer_step.py $options | tee -a "$work/peer.json"
done
# Once more after the peer: what drifts in between shows.
.build/release/qlora-bench step --model "$model_file" --json | tee -a "$work/ours.json"

"$python" - "$work/ours.json" "$work/peer.json" <<'PYTHON'
import json, sys
ours, peer = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
best_ours = max(ours, key=lambda row: row["tokensPerSecond"])
best_peer = max(peer, key=lambda row: row["tokensPerSecond"])
print(json.dumps({
    "tokensPerSecondRatio": best_ours["tokensPerSecond"] / best_peer["tokensPerSecond"],
    "peakMemoryRatio": best_ours["peakMemoryBytes"] / best_peer["peakMemoryBytes"],
}))
PYTHON
