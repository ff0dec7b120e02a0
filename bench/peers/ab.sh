#!/usr/bin/env bash
# Alternate two or more commands on one machine: ab.sh ROUNDS 'cmd A' 'cmd B' ...
# e.g. ab.sh 3 'REPS=1 CASES=const_null MODES=ack storm/run.sh local' 'target/release/bench const-null'
set -u
n=$1; shift
for i in $(seq "$n"); do for c in "$@"; do echo "# round $i: $c" >&2; bash -c "$c"; done; done
