#!/usr/bin/env bash
# Resolves the package against the published pins of each Airflow, then runs the fast tests on other
# versions of Airflow and Python, each pair in an environment of its own under .venvs.
#
#   scripts/test-matrix.sh full     every Airflow on every Python found
#   scripts/test-matrix.sh spread   each Airflow and each Python at least once, for a short check:
#                                   those that touch Airflow, and with the oldest those that touch
#                                   any other dependency
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t pythons < <(scripts/find-pythons.sh)
declare -A constraints=(
    [3.1]=constraints/airflow-3.1.txt
    [3.2]=constraints/airflow-3.2.txt
    [3.3]=constraints/airflow-3.3.txt
)
main_python="$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

pairs=()
for index in "${!pythons[@]}"; do
    for airflow in 3.1 3.2 3.3; do
        case "$airflow ${pythons[$index]}" in
            # Airflow 3.1 was published for no Python newer than 3.13.
            "3.1 3.14 "*) continue ;;
        esac
        if [ "$1" = spread ]; then
            # Old with old; the newest Airflow with what no other pair has, nor `make test`.
            case "$airflow $index" in
                "3.3 0") [ "${pythons[0]% *}" != "$main_python" ] || continue ;;
                "3.1 0" | "3.2 1" | "3.3 "[!1]) ;;
                "3.2 0") [ "${#pythons[@]}" -eq 1 ] || continue ;;
                *) continue ;;
            esac
        fi
        pairs+=("$airflow ${pythons[$index]}")
    done
done

failed=()
scripts/check-pins.sh || failed+=("published pins")
for pair in "${pairs[@]}"; do
    read -r airflow version path <<<"$pair"
    venv=".venvs/airflow-$airflow-py$version"
    tests=()
    if [ "$1" = spread ] && [ "$pair" = "${pairs[0]}" ]; then
        # The oldest: all that touches Airflow, Arrow, boto3 or a driver. `make test` runs all of it
        # on the newest.
        tests=(tests/cli tests/formatting tests/hooks tests/notifications tests/operators
            tests/sensors tests/deliveries tests/snapshots tests/sources tests/storage
            tests/suppression tests/system tests/test_task_groups.py)
    elif [ "$1" = spread ] && [ "$airflow" = 3.3 ]; then
        # The published pins of the newest, on another Python.
        tests=(tests/hooks tests/operators tests/sensors tests/sources tests/storage
            tests/test_task_groups.py)
    elif [ "$1" = spread ]; then
        # Between them only Airflow and Python differ; nearly the same drivers have run.
        tests=(tests/operators tests/sensors tests/system tests/test_task_groups.py)
    fi
    started=$SECONDS
    echo "== Airflow $airflow on Python $version"
    mkdir -p .venvs
    if scripts/make-venv.sh "$venv" "${constraints[$airflow]}" "$path" &&
        "$venv/bin/python" -m pytest -q -n 2 -m "not slow" "${tests[@]}"; then
        echo "== passed in $((SECONDS - started)) s"
    else
        failed+=("Airflow $airflow on Python $version")
    fi
done
if [ "${#failed[@]}" -gt 0 ]; then
    printf 'Failed: %s\n' "${failed[@]}"
    exit 1
fi
