#!/bin/sh
# Runs every fuzzer for $1 seconds, one after the other; gets what they need and this machine lacks. What a fuzzer found is under
# fuzz/artifacts, and `cargo +nightly fuzz run TARGET FILE` shows it again.
set -eu

seconds=$1

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "Installing nightly Rust: libFuzzer's instrumentation is not in the stable compiler" >&2
    rustup toolchain install nightly --profile minimal
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked
fi

for target in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$target" .rs)
    # New finds go to the first folder; the corpus that is committed is small and made by hand.
    mkdir -p "fuzz/found/$target"
    # A find is an input that takes more than ten seconds or two gigabytes, too.
    cargo +nightly fuzz run "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=20000 -dict=fuzz/json.dict -print_final_stats=1
done
