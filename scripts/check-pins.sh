#!/usr/bin/env bash
# Resolves this package against the pins of each Airflow release in constraints/published, on every
# Python that the release has pins for. Needs neither those Pythons nor an installation.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"

# $1: release, $2: version of Python
check() {
    local resolved
    if resolved="$("$uv" pip compile --quiet --python-version "$2" --extra postgres --extra oauth \
        --no-header --no-annotate --constraints "constraints/published/airflow-$1.txt" pyproject.toml)" &&
        grep -qx "apache-airflow==$1" <<<"$resolved"; then
        echo "Airflow $1 on Python $2: $(grep -c == <<<"$resolved") packages fit together"
    else
        echo "Airflow $1 on Python $2: the package does not fit the published pins"
        return 1
    fi
}

checks=()
for pins in constraints/published/airflow-*.txt; do
    release="$(basename "$pins" .txt)"
    for python in 3.11 3.12 3.13 3.14; do
        # Airflow 3.1 was published for no Python newer than 3.13.
        [[ "$release $python" != "airflow-3.1."*" 3.14" ]] || continue
        # All at once, since each waits for the index most of the time.
        check "${release#airflow-}" "$python" &
        checks+=($!)
    done
done
failed=0
for job in "${checks[@]}"; do wait "$job" || failed=1; done
exit "$failed"
