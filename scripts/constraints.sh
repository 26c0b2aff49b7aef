#!/usr/bin/env bash
# Writes constraints.txt and constraints/airflow-*.txt anew. Run it after a change of dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"

compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 \
        --no-header --no-annotate --no-emit-index-url "$@" pyproject.toml
}

# An old Airflow breaks on dependencies that came years after it. So what it runs on is resolved as
# of its own time, and only then are the servers and tools of the tests added, as they are now.
# $1: Airflow version, $2: a day soon after its release, $3: highest or lowest-direct
compile_for() {
    local series="${1%.*}" runtime
    runtime="$(mktemp)"
    compile --extra postgres --exclude-newer "$2" --resolution "$3" \
        --constraints <(echo "apache-airflow==$1") --output-file "$runtime"
    compile --all-extras --constraints "$runtime" --output-file "constraints/airflow-$series.txt" \
        --upgrade
    rm -f "$runtime"
}

compile --all-extras --constraints <(echo "apache-airflow==3.3.2") --output-file constraints.txt \
    --upgrade
# The oldest supported Airflow also shows that the lower bounds in pyproject.toml are true.
compile_for 3.1.8 2026-03-20 lowest-direct
compile_for 3.2.2 2026-06-10 highest
