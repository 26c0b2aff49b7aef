#!/usr/bin/env bash
# Writes constraints.txt and constraints/airflow-*.txt anew. Run it after a change of dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"

# Runtime, servers and tools for all Pythons; $1: what holds the versions, $2: the file to write
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
        --no-header --no-annotate --no-emit-index-url \
        --constraints "$1" --output-file "$2" pyproject.toml
}

# What development and `make test` run on: everything as it is now.
compile <(echo "apache-airflow==3.3.2") constraints.txt
# What the matrix runs on: Airflow and all that runs beside it as published with that release, and
# only the servers and tools of the tests as they are now. The oldest also shows that the lower
# bounds in pyproject.toml are true.
# Airflow 3.1 is not for Python 3.14; what SFTP needs there is newer than its pin of cffi.
compile <(sed -E 's/^cffi==[^ ;]+$/& ; python_version < "3.14"/' constraints/published/airflow-3.1.0.txt) \
    constraints/airflow-3.1.txt
compile constraints/published/airflow-3.2.2.txt constraints/airflow-3.2.txt
compile constraints/published/airflow-3.3.2.txt constraints/airflow-3.3.txt
