#!/bin/sh
# Makes a virtual environment with this project, its servers and its tools in it.
#
#   scripts/make-venv.sh VENV CONSTRAINTS [PYTHON [EXTRAS]]
#
# Needs Python and a package index only. A second run with nothing changed returns at once.
set -eu
cd "$(dirname "$0")/.."
venv=$1
constraints=$2
wanted=${3:-}
extras=${4:-local,dev}

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Prints the version of a usable Python; otherwise says why it is not usable and returns 1.
inspect() {
    version=$("$1" -c 'import platform; print(platform.python_version())' 2>/dev/null) || return 1
    # Airflow itself refuses Python 3.15.
    if ! "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; then
        reason="$1 is Python $version, but 3.11, 3.12, 3.13 or 3.14 is needed"
        return 1
    fi
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        reason="$1 (Python $version) lacks venv and pip: on Debian and Ubuntu install python${version%.*}-venv"
        return 1
    fi
}

find_python() {
    reason=""
    if [ -n "$wanted" ]; then
        inspect "$wanted" && python=$wanted && return
        die "${reason:-PYTHON=$wanted is not a Python that runs}."
    fi
    for candidate in python3 python3.11 python3.12 python3.13 python3.14; do
        inspect "$candidate" && python=$candidate && return
    done
    die "${reason:-Python 3.11 or newer is missing}; another one is named with PYTHON=/path/to/python."
}

stamp=$venv/.installed
key=$( (cat pyproject.toml "$constraints" scripts/make-venv.sh && echo "$extras") | cksum)
installed_key="" installed_in=""
works=$("$venv/bin/python" -c 'print("yes")' 2>/dev/null || true)
if [ -e "$stamp" ]; then
    { read -r installed_key && read -r installed_in; } <"$stamp" || true
    # An environment does not survive being moved: its scripts name the folder they were made in.
    if [ "$installed_in" != "$PWD" ]; then
        works=no
    elif [ "$works" = yes ] && [ "$installed_key" = "$key" ]; then
        exit 0
    fi
fi

# Without a home folder that can be written to, uv and pip have no place for their caches.
if [ ! -w "${HOME:-/nonexistent}" ]; then
    caches=$(mktemp -d)
    trap 'rm -rf "$caches"' EXIT
    export UV_CACHE_DIR="$caches/uv" PIP_CACHE_DIR="$caches/pip"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Trust what the machine trusts, as pip does; by default uv brings certificates of its own.
export UV_SYSTEM_CERTS=1

if [ "$works" != yes ]; then
    find_python
    say "Setting up $venv with Python $version; this takes a minute or two, once."
    "$python" -m venv --clear "$venv" ||
        die "Python $version could not make a virtual environment in $venv: is the folder writable?"
else
    say "Bringing $venv up to date."
fi

# uv installs in seconds what takes pip minutes. Where uv does not run, or finds no index because
# only pip is configured for this network, pip does the work.
if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
    "$venv/bin/python" -m pip install --quiet --constraint "$constraints" uv || true
fi
if ! "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" \
    --constraint "$constraints" --editable ".[$extras]"; then
    say "uv could not install the packages; trying pip, which takes some minutes."
    "$venv/bin/python" -m pip install --quiet \
        --constraint "$constraints" --editable ".[$extras]" ||
        die "The packages could not be installed: is a Python package index reachable from here?"
fi
printf '%s\n%s\n' "$key" "$PWD" >"$stamp"
