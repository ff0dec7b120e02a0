#!/usr/bin/env bash
# One command: Storm anchors. Usage: run.sh [local] [cluster] [recovery]; env CASES MODES REPS WARM DUR RATE EXTRA TAG JVM.
# Prints: peer case mode tuples_per_s p50_us p99_us cpu_cores rss_mib key=value...
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1 # nothing is written beside the scripts
A=$(cd "$(dirname "$0")/.." && pwd)
"$A/lib/deps.sh" storm >&2
exec flock "${PEERS_DIR:-/var/tmp/squall-peers}/lock" python3 "$A/storm/run.py" "$@"
