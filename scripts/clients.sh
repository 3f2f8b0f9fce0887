#!/usr/bin/env bash
# Builds and checks what clients of the API use. `build`: the two client libraries, tested against the server.
# `check`: the API document with its validator, the usual generators, and schemathesis. `types`: the generated types of the libraries.
# `restarts`: a job that each library follows while the server is killed and started again.
# Installs its tools in target/clients.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
tools=$root/target/clients
built=${BINARIES:-${CARGO_TARGET_DIR:-$root/target}/debug}
export BINARIES=$built PATH=$tools/py/bin:$PATH
document=$root/openapi/openapi.json

for tool in python3 node npm; do
    command -v "$tool" >/dev/null || { echo "clients: $tool is missing; install Python 3.10 and Node 20 or later" >&2; exit 1; }
done

# Runs a command; its output is shown if it fails.
quietly() {
    local log
    log=$(mktemp)
    "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; echo "clients: failed: $*" >&2; return 1; }
    rm -f "$log"
}

install_tools() {
    mkdir -p "$tools/node"
    if ! cmp -s scripts/clients/requirements.txt "$tools/requirements.txt"; then
        [ -x "$tools/py/bin/python" ] || python3 -m venv "$tools/py"
        quietly timeout 600 "$tools/py/bin/pip" install --disable-pip-version-check -r scripts/clients/requirements.txt
        cp scripts/clients/requirements.txt "$tools/requirements.txt"
    fi
    if ! cmp -s scripts/clients/package.json "$tools/node/package.json"; then
        cp scripts/clients/package.json "$tools/node/package.json.new"
        (cd "$tools/node" && mv package.json.new package.json && quietly timeout 600 npm install --no-package-lock --no-audit --no-fund) ||
            { rm -f "$tools/node/package.json"; return 1; }
    fi
}

# Files that are generated from the API document, and committed.
GENERATED="clients/python/src/extractd/_types.py clients/python/src/extractd/_sync.py clients/typescript/src/schema.d.ts"

generate_types() {
    quietly datamodel-codegen --input "$document" --input-file-type openapi --output clients/python/src/extractd/_types.py \
        --output-model-type pydantic_v2.BaseModel --target-python-version 3.10 --use-standard-collections --use-union-operator \
        --use-schema-description --use-field-description --disable-timestamp --collapse-root-models --use-double-quotes \
        --field-constraints --formatters builtin --extra-fields allow
    python3 clients/python/scripts/unasync.py
    quietly "$tools/node/node_modules/.bin/openapi-typescript" "$document" -o clients/typescript/src/schema.d.ts
}

# Fails if the committed types are not those of the API document.
check_types() {
    local file committed failed=0
    committed=$(mktemp -d)
    for file in $GENERATED; do cp "$file" "$committed/$(basename "$file")"; done
    generate_types
    for file in $GENERATED; do
        cmp -s "$file" "$committed/$(basename "$file")" && continue
        echo "clients: $file is not what openapi/openapi.json generates; commit it as it is now" >&2
        failed=1
    done
    rm -rf "$committed"
    return $failed
}

build() {
    generate_types
    rm -rf clients/python/dist clients/typescript/dist
    (
        cd clients/python
        quietly pip install --disable-pip-version-check --no-deps -e .
        quietly mypy
        quietly timeout 300 python -m pytest -q
        quietly python -m build --no-isolation --wheel
    )
    (
        cd clients/typescript
        [ -d node_modules ] || quietly timeout 600 npm install --no-package-lock --no-audit --no-fund
        quietly npm run build
        quietly npm run check
        quietly timeout 300 npm test
        mkdir -p dist-package
        quietly npm pack --pack-destination dist-package
    )
    ls clients/python/dist/*.whl clients/typescript/dist-package/*.tgz
}

# Fails if the command prints a warning.
without_warning() {
    local log
    log=$(mktemp)
    "$@" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
    if grep -i "warning\|unsupported" "$log" >&2; then
        echo "clients: a warning of: $*" >&2
        return 1
    fi
    rm -f "$log"
}

check() {
    local out=$tools/generated node=$tools/node/node_modules/.bin
    rm -rf "$out"
    mkdir -p "$out"
    check_types
    quietly openapi-spec-validator "$document"
    without_warning openapi-python-client generate --path "$document" --output-path "$out/python" --overwrite
    without_warning "$node/openapi-typescript" "$document" -o "$tools/node/schema.d.ts"
    rm -rf "$tools/node/heyapi"
    (cd "$tools/node" && without_warning "$node/openapi-ts" -i "$document" -o heyapi)
    cp scripts/clients/*.ts scripts/clients/tsconfig.json "$tools/node/"
    (cd "$tools/node" && quietly "$node/tsc" -p tsconfig.json)
    quietly mypy --strict --show-error-codes --no-incremental "$out/python/extractd_client"
    MYPYPATH=$out/python quietly mypy --strict --show-error-codes scripts/clients/use_generated.py
    PYTHONPATH=$out/python quietly timeout 600 python scripts/clients/against_server.py "$tools/node"
    echo "clients: the API document, three generated clients, and all operations are in order"
}

# Follows a job with each client through restarts of the server. ITEMS: size of the job.
restarts() {
    quietly pip install --disable-pip-version-check --no-deps -e clients/python
    if [ ! -e clients/typescript/dist/index.js ]; then
        (
            cd clients/typescript
            [ -d node_modules ] || quietly timeout 600 npm install --no-package-lock --no-audit --no-fund
            quietly npm run build
        )
    fi
    timeout 3000 python scripts/clients/restarts.py --items "${ITEMS:-10000}"
}

install_tools
case ${1:-} in
types) generate_types ;;
build) build ;;
check) check ;;
restarts) restarts ;;
*) echo "usage: $0 build|check|restarts|types" >&2; exit 2 ;;
esac
