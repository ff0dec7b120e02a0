#!/usr/bin/env bash
# One command: bytewax anchor. Env WARM DUR REPS MODES (w1 p2).
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1 # nothing is written beside the scripts
A=$(cd "$(dirname "$0")/.." && pwd); T=${PEERS_DIR:-/var/tmp/squall-peers}
mkdir -p $T/text $T/py $T/bytewax; [ -s $T/text/corpus.txt ] || python3 $A/text/gen.py $T/text/corpus.txt
[ -d $T/py/venv ] || { python3 -m venv $T/py/venv; $T/py/venv/bin/pip install -q bytewax==0.21.1; }
exec flock "${PEERS_DIR:-/var/tmp/squall-peers}/lock" python3 $A/lib/simple.py bytewax
