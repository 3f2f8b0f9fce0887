#!/bin/sh
# Installs what building and testing the page needs and what is missing: Node 20 or newer, its packages, and Chromium.
# `ui-needs.sh build` leaves Chromium out.
set -eu
cd "$(dirname "$0")/.."

as_root=''
[ "$(id -u)" -eq 0 ] || as_root=sudo

install() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "install $1 with this system's package manager, then run this again" >&2
        exit 1
    fi
    $as_root apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || install nodejs npm
major=$(node -p 'process.versions.node.split(".")[0]')
if [ "$major" -lt 20 ]; then
    echo "the page is built with Node 20 or newer, and this is $(node --version); install a newer Node" >&2
    exit 1
fi

# `npm ci` takes exactly what the lock file says; it runs again only when the lock file is newer than what it installed.
if [ ! -e ui/node_modules/.package-lock.json ] || [ ui/package-lock.json -nt ui/node_modules/.package-lock.json ]; then
    (cd ui && npm ci --no-audit --no-fund --ignore-scripts)
    touch ui/node_modules/.package-lock.json
fi

[ "${1:-}" != build ] || exit 0
for browser in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    [ -z "$browser" ] || ! command -v "$browser" >/dev/null 2>&1 || exit 0
done
install chromium
