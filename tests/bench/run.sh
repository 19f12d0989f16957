#!/usr/bin/env bash
# Measures libci beside plain Python, bubblewrap, ipykernel, Node, tsc and deno, and its network beside slirp4netns and pasta;
# or, by the word s3, a workspace in a bucket beside rclone, boto3, s3cmd and curl; by the word agentcore, calls of a service on
# loopback beside botocore and curl: tests/bench/run.sh [s3|agentcore] [--rounds N] [--json FILE]. Installs what is missing.
# Ends with 1 when a figure that is wanted was missed.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=${XDG_CACHE_HOME:-$HOME/.cache}/libci/bench-$(printf %s "$top" | sha256sum | cut -c 1-12)
what=
case "${1:-}" in s3 | agentcore) what=$1; shift ;; esac
case "$what" in
  s3) groups="build python test s3 bench_s3" ;;
  agentcore) groups="build python node test" ;;
  *) groups="build python node test bench" ;;
esac
# shellcheck disable=SC2086 # several words
"$top/.ci/deps.sh" $groups >&2
mkdir -p "$build"
cmake -S "$top" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$build/build.log" 2>&1 &&
  cmake --build "$build" >>"$build/build.log" 2>&1 ||
  { tail -n 40 "$build/build.log"; echo "The build failed; all of it: $build/build.log" >&2; exit 1; }
if [ "$what" = agentcore ]; then
  export CI_TEST_AGENTCORE_PACKAGES=$build/agentcore
  "$top/tests/agentcorelab/install.sh" "$CI_TEST_AGENTCORE_PACKAGES"
fi
if [ -n "$what" ]; then exec /usr/bin/python3 -B "$top/tests/bench/measure_$what.py" --build "$build" "$@" </dev/null; fi
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
