#!/bin/sh
# Rebuilds the page and fails if the committed build output differs. The compressed variants depend on the version of Node's zlib,
# so they are compared by what they decompress to.
set -eu
cd "$(dirname "$0")/.."

committed=$(mktemp -d)
trap 'rm -rf "$committed"' EXIT
cp -R ui/dist/. "$committed"

sh scripts/ui-needs.sh build
(cd ui && npm run --silent build)

failed=0
for file in "$committed"/* ui/dist/*; do
    name=$(basename "$file")
    case $name in
    *.gz) same() { [ "$(gzip -dc "$committed/$name" | cksum)" = "$(gzip -dc "ui/dist/$name" | cksum)" ]; } ;;
    *) same() { cmp -s "$committed/$name" "ui/dist/$name"; } ;;
    esac
    if [ ! -e "$committed/$name" ] || [ ! -e "ui/dist/$name" ] || ! same; then
        echo "ui/dist/$name is not what ui/src builds; run \`make ui\` and commit ui/dist" >&2
        failed=1
    fi
done
# The build output stays as it was committed, so that a check changes nothing.
rm -rf ui/dist
cp -R "$committed" ui/dist
exit $failed
