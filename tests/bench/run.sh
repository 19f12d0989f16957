#!/usr/bin/env bash
# Measures libci beside plain Python, bubblewrap, ipykernel, Node, tsc and deno: tests/bench/run.sh [--rounds N] [--json FILE]. Installs
# what is missing. Ends with 1 when a figure that is wanted was missed.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=${XDG_CACHE_HOME:-$HOME/.cache}/libci/bench-$(printf %s "$top" | sha256sum | cut -c 1-12)
"$top/.ci/deps.sh" build python node test bench >&2
mkdir -p "$build"
cmake -S "$top" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$build/build.log" 2>&1 &&
  cmake --build "$build" >>"$build/build.log" 2>&1 ||
  { tail -n 40 "$build/build.log"; echo "The build failed; all of it: $build/build.log" >&2; exit 1; }
# Where it cannot be had, or does not run, its rows are missing.
peers=$build/peers
deno=$peers/node_modules/deno/deno
if command -v npm >/dev/null && [ ! -x "$deno" ]; then
  npm install --prefix "$peers" --no-fund --no-audit deno@2 >"$build/deno.log" 2>&1 </dev/null &&
    "$peers/node_modules/.bin/deno" --version >>"$build/deno.log" 2>&1 || true # which puts the program there
fi
if "$deno" --version >/dev/null 2>&1; then set -- --deno "$deno" "$@"; fi
exec /usr/bin/python3 -B "$top/tests/bench/measure.py" --build "$build" "$@" </dev/null
