#!/usr/bin/env bash
# From a fresh clone to a first result: installs what is missing, builds libci and an environment of the core libraries,
# and lets it analyse a ZIP.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$top/build/quickstart
workspace=$build/workspace
log=$build/build.log
step() { printf '\n==> %s\n' "$*"; }

step "Packages: what is missing is installed by apt-get"
"$top/.ci/deps.sh" build python

step "Build, in $build"
mkdir -p "$build"
cmake -S "$top" -B "$build" -G Ninja -DCI_BUILD_TESTS=OFF >"$log" 2>&1 &&
  cmake --build "$build" >>"$log" 2>&1 ||
  { tail -n 40 "$log"; echo "The build failed; all of it: $log" >&2; exit 1; }
echo "ci-run and the library are in $build/bin and $build/lib"

step "The core libraries: the environment \"core\", which stays for the next time (ci-env list)"
environment=core
status=0
"$build/bin/ci-env" create core --group core || status=$?
if [ "$status" != 0 ] && [ "$status" != 3 ]; then
  echo "Going on with the system's own libraries."
  environment=/usr/bin/python3
fi

step "An upload: sales.zip, twelve CSV files"
rm -rf "$workspace"
mkdir -p "$workspace/uploads"
/usr/bin/python3 "$top/examples/quickstart/make_data.py" "$workspace/uploads/sales.zip"

step "The session (examples/quickstart/quickstart.c)"
"$build/bin/quickstart" "$workspace" "$environment"

if [ "$environment" = core ]; then
  step "DuckDB and scikit-learn, from the environment"
  "$build/bin/ci-run" --python core "$top/tests/integration/python/skill/sql.py"
  "$build/bin/ci-run" --python core "$top/tests/integration/python/skill/machine_learning.py"
fi

step "Done. The session is over; the workspace stays:"
find "$workspace" -type f -printf '%10s  %p\n'
echo
echo "The chart: $workspace/code-interpreter/chart.png"
echo "Next: $build/bin/ci-run --python $environment -e '2 ** 100'    (or --help)"
