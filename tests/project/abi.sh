#!/bin/sh
# Compares the library's ABI with the last release's, lib/abi/baseline.abi: abi.sh LIBRARY. Appended struct fields and
# new functions pass (lib/abi/allowed.abignore); what else a program could notice fails.
# With `abi.sh --update LIBRARY` it writes the baseline instead, and interface.py its own: for a release, and only then.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
baseline=$top/lib/abi/baseline.abi
update=
if [ "${1-}" = --update ]; then
    update=1
    shift
fi
library=${1:?usage: abi.sh [--update] LIBRARY}

if ! command -v abidiff >/dev/null; then
    echo "abidiff is not installed (package abigail-tools)"
    exit 77
fi
if [ -n "$update" ]; then
    abidw --headers-dir "$top/include" --drop-private-types --exported-interfaces-only --no-corpus-path \
        --no-comp-dir-path --no-elf-needed --no-parameter-names --type-id-style hash "$library" |
        sed "s|path='$top/|path='|" >"$baseline"
    python3 -B "$top/tests/project/interface.py" --update
    echo "wrote $baseline and $top/lib/abi/interface.txt"
    exit 0
fi
if [ ! -f "$baseline" ]; then
    echo "$baseline does not exist; a release makes it: $0 --update $library"
    exit 1
fi
abidiff --headers-dir2 "$top/include" --drop-private-types --harmless --no-added-syms --suppressions "$top/lib/abi/allowed.abignore" \
    "$baseline" "$library"
echo "the ABI is that of the baseline, or grown as it may"
