#!/bin/sh
# usage: sh install.sh [EXTRA[,EXTRA...]]
# Make the virtual environment .venv beside this file and install minicnn, editable, with these extras into it.
# PYTHON names the interpreter; default: python3.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
extras=${1:-}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "minicnn needs Python 3.11 or newer; set PYTHON to one. Received: $("$python" --version)" >&2; exit 1; }

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    # Debian puts a part of Python, without which environments have no pip, into a package of its own.
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
        echo "installing the package python3-venv: $as_root apt-get install python3-venv" >&2
        $as_root apt-get update -qq && $as_root apt-get install -qq -y python3-venv >&2
    fi
    "$python" -m venv --clear .venv
fi

# The stamp lets a second run start at once, and without a network.
stamp=.venv/installed-$extras
if [ ! -e "$stamp" ] || [ setup.cfg -nt "$stamp" ]; then
    echo "installing minicnn${extras:+ with $extras} into .venv" >&2
    .venv/bin/python -m pip install -q --disable-pip-version-check -e ".${extras:+[$extras]}"
    touch "$stamp"
fi
