#!/usr/bin/env bash
# Lets libFuzzer look for new inputs: tests/fuzz/run.sh FOLDER [MINUTES], 5 in total by default, shared by all targets.
# FOLDER keeps the build, the inputs found so far, which the next run goes on from, and what broke a promise (NAME-crash-…).
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: tests/fuzz/run.sh FOLDER [MINUTES]" >&2; exit 2; }
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
mkdir -p "$1"
folder=$(cd "$1" && pwd -P)
seconds=$((${2:-5} * 60))
"$top/.ci/deps.sh" build python test full >&2

targets=("$top"/tests/fuzz/fuzz_*.c)
targets=("${targets[@]##*/}")
targets=("${targets[@]%.c}")
cmake -S "$top" -B "$folder/build" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DCI_FUZZ=ON \
  >"$folder/build.log" 2>&1 && cmake --build "$folder/build" --target "${targets[@]}" >>"$folder/build.log" 2>&1 ||
  { tail -n 40 "$folder/build.log"; echo "The build failed; all of it: $folder/build.log" >&2; exit 1; }

failed=0
for target in "${targets[@]}"; do
  name=${target#fuzz_}
  mkdir -p "$folder/$name"
  echo "$target: $((seconds / ${#targets[@]})) s"
  "$folder/build/fuzz/$target" -max_total_time=$((seconds / ${#targets[@]})) -timeout=30 -rss_limit_mb=2048 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="$folder/$name-" \
    "$folder/$name" "$top/tests/fuzz/corpus/$name" >"$folder/$name.log" 2>&1 </dev/null ||
    { tail -n 60 "$folder/$name.log"; echo "$target: broken; all of it: $folder/$name.log"; failed=1; }
  grep -E 'number_of_executed_units|new_units_added' "$folder/$name.log" || true
done
exit "$failed"
