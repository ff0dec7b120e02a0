#!/usr/bin/env python3
"""Table of medians (min-max) from a results file: summary.py [FILE]."""
import json, os, statistics as st, sys
f = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PEERS_DIR", "/var/tmp/squall-peers") + "/results.jsonl"
g = {}
for l in open(f):
    r = json.loads(l); g.setdefault((r["peer"], r["case"], r["mode"]), []).append(r)
def k(x): return f"{x/1e6:.2f} M" if x >= 1e6 else f"{x/1e3:.0f} k" if x >= 1e4 else f"{x:.0f}"
def us(x): return "-" if x is None else f"{x/1000:.2f}" 
def mm(rs, fn, fmt):
    v = sorted(x for x in (fn(r) for r in rs) if x is not None)
    return "-" if not v else fmt(st.median(v)) + (f" ({fmt(v[0])}–{fmt(v[-1])})" if len(v) > 1 else "")
print("| peer | case | mode | n | sink tuples/s | spout/s | acked/s | p50 ms | p99 ms | CPU cores | RSS MiB | start ms | other CPU |")
print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
for (p, c, m), rs in sorted(g.items()):
    lat = rs[0]["lat"]
    print("|", p, "|", c, "|", m, "|", len(rs), "|", mm(rs, lambda r: r["sink"], k), "|", mm(rs, lambda r: r["emit"], k), "|",
          mm(rs, lambda r: r["ack"] or None, k), "|", mm(rs, lambda r: r[lat + "_p50"], us), "|", mm(rs, lambda r: r[lat + "_p99"], us), "|",
          f"{st.median(r['cpu'] for r in rs):.2f}", "|", f"{st.median(r['rss'] for r in rs):.0f}", "|",
          mm(rs, lambda r: r.get("x_start_ms", r.get("x_boot_ms")), lambda x: f"{x:.0f}"), "|", f"{max(r['other_cpu'] for r in rs):.2f}", "|")
