#!/bin/sh
# All C files are as clang-format leaves them.
set -eu

cd "$(dirname "$0")/../.."
if ! command -v clang-format >/dev/null; then
    echo "clang-format is not installed"
    exit 77
fi
find include lib examples tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run -Werror
