#!/bin/sh
# Has a real Prometheus check what is in this folder. Where `promtool` is not installed it is taken out
# of the Debian package `prometheus`, into a temporary folder: nothing is installed, no daemon starts.
# With the address of a nimbus (`deploy/check.sh 127.0.0.1:8080`) what that shows is checked, too.
set -eu
cd "$(dirname "$0")"
promtool=$(command -v promtool || true)
if [ -z "$promtool" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    (cd "$folder" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .)
    promtool=$folder/usr/bin/promtool
fi
"$promtool" check rules prometheus-alerts.yml
if [ $# -gt 0 ]; then
    curl -fsS "http://$1/metrics" | "$promtool" check metrics
fi
