#!/usr/bin/env bash
# Measures libci beside plain Python, bubblewrap, ipykernel, Node, tsc and deno, and its network beside slirp4netns and pasta;
# or, by the word s3, a workspace in a bucket beside rclone, boto3, s3cmd and curl: tests/bench/run.sh [s3] [--rounds N]
# [--json FILE]. Installs what is missing. Ends with 1 when a figure that is wanted was missed.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=${XDG_CACHE_HOME:-$HOME/.cache}/libci/bench-$(printf %s "$top" | sha256sum | cut -c 1-12)
what=
if [ "${1:-}" = s3 ]; then what=s3; shift; fi
if [ "$what" = s3 ]; then groups="build python test s3 bench_s3"; else groups="build python node test bench"; fi
# shellcheck disable=SC2086 # several words
"$top/.ci/deps.sh" $groups >&2
mkdir -p "$build"
cmake -S "$top" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$build/build.log" 2>&1 &&
  cmake --build "$build" >>"$build/build.log" 2>&1 ||
  { tail -n 40 "$build/build.log"; echo "The build failed; all of it: $build/build.log" >&2; exit 1; }
if [ "$what" = s3 ]; then exec /usr/bin/python3 -B "$top/tests/bench/measure_s3.py" --build "$build" "$@" </dev/null; fi
# Where it cannot be had, or does not run, its rows are missing.
peers=$build/peers
deno=$peers/node_modules/deno/deno
if command -v npm >/dev/null && [ ! -x "$deno" ]; then
  npm install --prefix "$peers" --no-fund --no-audit deno@2 >"$build/deno.log" 2>&1 </dev/null &&
    "$peers/node_modules/.bin/deno" --version >>"$build/deno.log" 2>&1 || true # which puts the program there
fi
with_deno=()
if "$deno" --version >/dev/null 2>&1; then with_deno=(--deno "$deno"); fi
status=0
/usr/bin/python3 -B "$top/tests/bench/measure.py" --build "$build" ${with_deno[@]+"${with_deno[@]}"} "$@" </dev/null || status=1
echo
/usr/bin/python3 -B "$top/tests/bench/measure_network.py" --build "$build" "$@" </dev/null || status=1
exit "$status"
