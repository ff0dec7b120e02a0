#!/usr/bin/env bash
# One command: timely anchor. Env WARM DUR REPS MODES (w1 w2 p2).
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1 # nothing is written beside the scripts
A=$(cd "$(dirname "$0")/.." && pwd); T=${PEERS_DIR:-/var/tmp/squall-peers}
mkdir -p $T/text; [ -s $T/text/corpus.txt ] || python3 $A/text/gen.py $T/text/corpus.txt
mkdir -p $T/timely/src && cp $A/timely/Cargo.toml $T/timely/ && cp $A/timely/src/*.rs $T/timely/src/   # cargo writes its lock file there, not beside the source
(cd $T/timely && nice -n 10 cargo build --release --target-dir target >&2)
exec flock "${PEERS_DIR:-/var/tmp/squall-peers}/lock" python3 $A/lib/simple.py timely
