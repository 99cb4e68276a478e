#!/bin/sh
# scripts/chromium.sh PYTHON: see to it that the browser tests find a Chromium, in the order in which they look:
# $STYLEX_CHROMIUM, chromium, chromium-browser, google-chrome, the one of PYTHON's playwright. Install one if there is none.
set -eu
python=$1

if [ -n "${STYLEX_CHROMIUM:-}" ]; then
    command -v "$STYLEX_CHROMIUM" >/dev/null && exit 0
    echo "STYLEX_CHROMIUM is $STYLEX_CHROMIUM, but there is no such program." >&2
    exit 1
fi

installed() {
    for browser in chromium chromium-browser google-chrome; do
        command -v "$browser" >/dev/null && return 0
    done
    "$python" - <<'END'
import os, sys
from playwright.sync_api import sync_playwright

with sync_playwright() as p:
    sys.exit(not os.path.exists(p.chromium.executable_path))
END
}
installed && exit 0

# Debian's own package where we may install it. (Ubuntu's is a stub for a snap.)
if [ "$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then
    echo "Installing Chromium for the browser tests (Debian's package)."
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-liberation; then
        exit 0
    fi
    echo "That did not work; trying playwright's own."
fi

echo "Installing Chromium for the browser tests (playwright's own)."
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    "$python" -m playwright install --with-deps chromium  # with the system libraries it needs
else
    "$python" -m playwright install chromium
fi || {
    echo "There is no Chromium and none could be installed. Install one, or name yours: STYLEX_CHROMIUM=/path/to/chromium make test" >&2
    exit 1
}
