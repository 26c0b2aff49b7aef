#!/usr/bin/env bash
# Resolves the package against the published pins of each Airflow, then runs the fast tests on other
# versions of Airflow and Python, each pair in an environment of its own under .venvs.
#
#   scripts/test-matrix.sh full     every Airflow on every Python found, all fast tests
#   scripts/test-matrix.sh spread   each Airflow and each Python at least once, for a short check:
#                                   those tests that tell more there than in `make test`
set -euo pipefail
cd "$(dirname "$0")/.."
mode="$1"

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
        if [ "$mode" = spread ]; then
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

# Makes the environment of a pair and runs tests in it. $1: the pair, others: pytest's arguments
run_pair() {
    local airflow version path venv started=$SECONDS
    read -r airflow version path <<<"$1"
    venv=".venvs/airflow-$airflow-py$version"
    echo "== Airflow $airflow on Python $version"
    mkdir -p .venvs
    if scripts/make-venv.sh "$venv" "${constraints[$airflow]}" "$path" &&
        "$venv/bin/python" -m pytest -q -m "not slow" "${@:2}"; then
        echo "== passed in $((SECONDS - started)) s"
    else
        echo "== failed: Airflow $airflow on Python $version"
        return 1
    fi
}

# What speaks with Airflow itself: tasks' contexts, deferring, templates, assets, links, metrics.
of_airflow=(tests/sensors tests/test_task_groups.py
    tests/operators/test_clean_staging.py tests/operators/test_end_of_time.py
    tests/operators/test_guard.py tests/operators/test_lineage.py tests/operators/test_links.py
    tests/operators/test_metrics.py tests/operators/test_origin.py
    tests/operators/test_parameters.py tests/operators/test_upload.py
    tests/operators/test_watermark.py tests/operators/test_window.py)
# Its connections, and what listens to it.
of_hooks=(tests/hooks/test_asset_events.py tests/hooks/test_audience_manager.py
    tests/hooks/test_last_line.py tests/hooks/test_waiting.py)
# And what reads, computes, packs or sends with a driver, Arrow, numpy, gpg, boto3 or paramiko. What uses
# none of them but through that, such as decisions and deliveries, does on the oldest what it does on
# the newest.
of_dependencies=("${of_airflow[@]}" tests/hooks tests/sources tests/storage tests/system
    tests/formatting/test_columns.py tests/formatting/test_large_values.py
    tests/formatting/test_lookups.py tests/formatting/test_openpgp.py tests/formatting/test_parts.py
    tests/formatting/test_repeats.py tests/formatting/test_row_hash.py
    tests/formatting/test_sliced_columns.py tests/formatting/test_traits_text.py
    tests/operators/test_format.py tests/operators/test_outbound.py
    tests/operators/test_partitions.py tests/operators/test_pgp.py
    tests/operators/test_snapshot_diff.py tests/snapshots/test_difference.py
    tests/deliveries/test_destinations.py tests/notifications tests/cli/test_format.py)

# $1: the pair
run_spread() {
    local tests at_once=0
    if [ "$1" = "${pairs[0]}" ]; then
        # The oldest of everything.
        tests=("${of_dependencies[@]}") at_once=2
    elif [[ "$1" = "3.3 "* ]]; then
        # The published pins of the newest, and drivers on another Python.
        tests=("${of_airflow[@]}" "${of_hooks[@]}" tests/sources tests/storage)
    else
        # Between the others only Airflow and Python differ; nearly the same drivers have run. Two
        # example DAGs go by dag.test() here and on the oldest.
        tests=("${of_airflow[@]}" tests/system)
    fi
    # What is hostile is tried in `make test`: here it is whether the libraries agree.
    AM_PROPERTY_ROWS=200 run_pair "$1" -n "$at_once" "${tests[@]}"
}

failed=()
if [ "$mode" = spread ]; then
    # The oldest, which has the most tests, beside the pins and the others.
    said="$(mktemp)"
    trap 'rm -f "$said"' EXIT
    run_spread "${pairs[0]}" >"$said" 2>&1 &
    oldest=$!
    scripts/check-pins.sh || failed+=("published pins")
    for pair in "${pairs[@]:1}"; do run_spread "$pair" || failed+=("Airflow $pair"); done
    wait "$oldest" || failed+=("Airflow ${pairs[0]}")
    cat "$said"
else
    scripts/check-pins.sh || failed+=("published pins")
    for pair in "${pairs[@]}"; do run_pair "$pair" -n 2 || failed+=("Airflow $pair"); done
fi
if [ "${#failed[@]}" -gt 0 ]; then
    printf 'Failed: %s\n' "${failed[@]}"
    exit 1
fi
