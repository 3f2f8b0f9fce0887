#!/bin/sh
# Checks the dependencies against deny.toml: licences, sources, duplicate versions and known vulnerabilities.
# The advisory database is fetched from the internet; OFFLINE=1 leaves that part out.
set -eu

cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked

if [ -n "${OFFLINE:-}" ]; then
    exec cargo deny --offline check bans licenses sources
fi
exec cargo deny check
