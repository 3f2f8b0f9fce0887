#!/bin/sh
# Installs what the build needs and this machine lacks. Does nothing when all is there.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

# One of the files is there; the caller's shell has expanded the patterns.
any() {
    for file in "$@"; do
        [ ! -e "$file" ] || return 0
    done
    return 1
}

# libclang itself, and its own C headers, without which it reads no header file.
has_libclang() {
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    # Apple's command line tools and Homebrew keep both together.
    ! any /Library/Developer/CommandLineTools/usr/lib/libclang.dylib /Applications/Xcode*.app /opt/homebrew/opt/llvm || return 0
    for lib in /usr/lib /usr/lib64 /usr/lib/*-linux-gnu* /usr/local/lib /usr/lib/llvm*/lib /usr/lib/llvm*/lib64; do
        ! any "$lib"/libclang.so* "$lib"/libclang-[0-9]*.so* || break
        lib=
    done
    [ -n "$lib" ] && any /usr/lib/clang/*/include/stddef.h /usr/lib64/clang/*/include/stddef.h \
        /usr/local/lib/clang/*/include/stddef.h /usr/lib/llvm*/lib*/clang/*/include/stddef.h
}

if ! has cargo; then
    echo "cargo is missing: install Rust 1.95 or later, see https://www.rust-lang.org/tools/install" >&2
    exit 1
fi

missing=
has cmake || missing="$missing cmake"
has c++ || missing="$missing g++"
has_libclang || missing="$missing libclang-dev"
[ -n "$missing" ] || exit 0

if ! has apt-get; then
    echo "The build of the built-in model lacks:$missing (names of Debian's packages). Install them, then run this again:" >&2
    echo "  Fedora: dnf install cmake gcc-c++ clang-devel   Arch: pacman -S cmake gcc clang" >&2
    echo "  Alpine: apk add cmake g++ clang-dev             macOS: xcode-select --install; brew install cmake" >&2
    echo "Or build without it: cargo build --release --no-default-features" >&2
    exit 1
fi

sudo=
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
        echo "The build lacks:$missing. Run as root: apt-get install$missing" >&2
        exit 1
    fi
    sudo="sudo"
fi
echo "Installing what the build lacks:$missing" >&2
$sudo apt-get update -q
# shellcheck disable=SC2086  # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
