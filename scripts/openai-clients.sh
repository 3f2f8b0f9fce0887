#!/usr/bin/env bash
# Runs programs that speak OpenAI's API or MCP against the server, with a scripted provider behind it: their packages unchanged, only the
# base URL is another. Each has an environment of its own, because they want different versions of `openai`.
# Installs them in target/openai-clients. With names (`openai_client`, `node_clients`, …) runs these alone.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
tools=$root/target/openai-clients
built=${BINARIES:-${CARGO_TARGET_DIR:-$root/target}/debug}
clients=(mcp_client openai_client instructor_client langchain_client pydantic_ai_client llama_index_client node_clients)
[ $# -eq 0 ] || clients=("$@")

command -v python3 >/dev/null || { echo "openai-clients: python3 is missing; install Python 3.10 or later" >&2; exit 1; }
if ! command -v npm >/dev/null; then
    echo "openai-clients: left out node_clients: npm is missing; install Node 20 or later" >&2
    for index in "${!clients[@]}"; do [ "${clients[$index]}" != node_clients ] || unset "clients[$index]"; done
fi

# Runs a command; its output is shown if it fails.
quietly() {
    local log
    log=$(mktemp)
    "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; echo "openai-clients: failed: $*" >&2; return 1; }
    rm -f "$log"
}

install() {
    local name=$1 folder=$tools/$1
    mkdir -p "$folder"
    if [ "$name" = node_clients ]; then
        cp scripts/openai-clients/node_clients.mjs "$folder/"
        cmp -s scripts/openai-clients/package.json "$folder/package.json" && return
        cp scripts/openai-clients/package.json "$folder/package.json"
        (cd "$folder" && quietly timeout 600 npm install --no-package-lock --no-audit --no-fund) || { rm -f "$folder/package.json"; return 1; }
        return
    fi
    local wanted=scripts/openai-clients/requirements/$name.txt
    cmp -s "$wanted" "$folder/requirements.txt" && return
    [ -x "$folder/py/bin/python" ] || python3 -m venv "$folder/py"
    quietly timeout 600 "$folder/py/bin/pip" install --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$folder/requirements.txt"
}

run() {
    if [ "$1" = node_clients ]; then
        (cd "$tools/$1" && timeout 300 node node_clients.mjs)
    else
        timeout 300 "$tools/$1/py/bin/python" -W ignore "scripts/openai-clients/$1.py"
    fi
}

# Waits for a line in a file, and prints its last word.
await() {
    for _ in $(seq 300); do
        if grep -q "$2" "$1" 2>/dev/null; then
            grep -om1 "$2" "$1"
            return
        fi
        sleep 0.1
    done
    cat "$1" >&2
    echo "openai-clients: not started: $1" >&2
    return 1
}

for client in "${clients[@]}"; do install "$client"; done
work=$(mktemp -d)
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
pids=()
python3 scripts/openai-clients/provider.py >"$work/provider" & pids+=($!)
port=$(await "$work/provider" '[0-9]*')
env -i PATH="$PATH" EXTRACTD_LISTEN=127.0.0.1:0 EXTRACTD_DATA_DIR="$work/data" EXTRACTD_MODEL=openai/gpt-4o-mini \
    OPENAI_BASE_URL="http://127.0.0.1:$port/v1" OPENAI_API_KEY=sk-provider "$built/extractd" serve >"$work/server" 2>&1 & pids+=($!)
BASE_URL=$(await "$work/server" 'http://127.0.0.1:[0-9]*' | head -1)/v1
export BASE_URL EXTRACTD="$built/extractd"
failed=()
for client in "${clients[@]}"; do run "$client" || failed+=("$client"); done
[ ${#failed[@]} -eq 0 ] || { echo "openai-clients: failed: ${failed[*]}" >&2; exit 1; }
