#!/usr/bin/env bash
# Prints the supported Pythons that run on this machine, one "VERSION PATH" a line, oldest first.
set -euo pipefail

for version in 3.11 3.12 3.13 3.14; do
    # A pyenv shim is on the PATH also for versions that it then refuses to start.
    for candidate in "python$version" \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$version".*/bin/"python$version"; do
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s %s\n' "$version" "$(command -v "$candidate")"
            break
        fi
    done
done
