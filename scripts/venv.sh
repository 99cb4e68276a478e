#!/bin/sh
# scripts/venv.sh FOLDER: make a virtual environment with $PYTHON, or say in a sentence what is missing.
set -eu
python=${PYTHON:-python3}

if ! command -v "$python" >/dev/null; then
    echo "There is no $python here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "StylEx needs Python 3.11 or newer, and $python is $("$python" -V 2>&1). Name another one: make PYTHON=python3.12" >&2
    exit 1
fi

# Debian and Ubuntu ship venv without the part that brings pip, in a package of its own.
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $package, without which $python makes no virtual environment."
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"
    else
        echo "$python cannot make a virtual environment: the venv module is missing." >&2
        echo "On Debian or Ubuntu: sudo apt-get install $package    then run make again." >&2
        exit 1
    fi
fi
"$python" -m venv "$1"
