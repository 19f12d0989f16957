#!/usr/bin/env bash
# Builds everything and runs all tests: ./tests/run.sh [--full]. Installs what is missing. As root the tests run twice,
# as root and as an ordinary user (kernels alone only so); then all that runs our C once more under the address and
# undefined-behaviour sanitizers. --full adds what takes long (full.sh). Ends with one line: N passed, N failed, N skipped.
set -euo pipefail

full=
for argument in "$@"; do
  case $argument in
    --full) full=1 ;;
    *) echo "usage: tests/run.sh [--full]" >&2; exit 2 ;;
  esac
done
exec </dev/null
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cores=$(nproc)
say() { printf '\n== %s (after %d:%02d)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

say "Packages"
"$top/.ci/deps.sh" build python node test s3 ${full:+full}

# The ordinary user must be able to read what is built, so root does not build below its own home.
if [ "$(id -u)" = 0 ]; then
  cache=/var/cache/libci
else
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/libci
fi
environment=$cache/environments/core
agentcore=$cache/agentcore
cache=$cache/$(printf %s "$top" | sha256sum | cut -c 1-12)
umask 022
mkdir -p "$cache"
exec 9>"$cache/lock"
flock -n 9 || { echo "tests/run.sh: another run in $cache is not over" >&2; exit 1; }
home=$(mktemp -d "${TMPDIR:-/tmp}/ci-test-XXXXXX")
chmod 755 "$home"

# Each part adds a line "passed failed skipped"; one that ends badly without having told of a failure is one itself.
counts=$home/counts
failed=0
over=
: >"$counts"
failures() { awk '{f += $2} END {print f + 0}' "$counts"; }
# count_failure BEFORE: how many there were before the part that has failed.
count_failure() {
  failed=1
  [ "$(failures)" -gt "$1" ] || echo 0 1 0 >>"$counts"
}
finish() {
  [ -n "$over" ] || count_failure "$(failures)"
  if [ -s "$home/failures" ]; then
    say "What failed"
    cat "$home/failures"
  fi
  echo
  awk '{p += $1; f += $2; s += $3} END {printf "%d passed, %d failed, %d skipped\n", p, f, s}' "$counts"
  rm -rf "$home"
  exit "$failed"
}
trap finish EXIT

# as_user COMMAND…: as somebody without any privilege, name or group, with a home and temporary files of his own.
user=61234
as_user() {
  setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --bounding-set=-all -- \
    env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HOME="$home/user" TMPDIR="$home/user" USER=ci-test \
    LOGNAME=ci-test CI_TEST_FULL="$full" CI_TEST_ENVIRONMENT="$environment" CI_TEST_AGENTCORE_PACKAGES="$agentcore" \
    CI_TEST_AGENTCORE_BUILD="$cache/plain" UBSAN_OPTIONS=print_stacktrace=1 "$@"
}
as_self() {
  env HOME="$home/self" TMPDIR="$home/self" CI_TEST_FULL="$full" CI_TEST_ENVIRONMENT="$environment" \
    CI_TEST_AGENTCORE_PACKAGES="$agentcore" CI_TEST_AGENTCORE_BUILD="$cache/plain" UBSAN_OPTIONS=print_stacktrace=1 "$@"
}
mkdir "$home/self" "$home/user"
source=$top
if [ "$(id -u)" = 0 ]; then
  chown "$user:$user" "$home/user"
  if ! as_user test -r "$top/tests/run.sh"; then
    source=$cache/source
    echo "Copying the sources to $source, where an ordinary user can read them"
    rm -rf "$source"
    mkdir "$source"
    git -C "$top" ls-files -z -co --exclude-standard | tar -C "$top" --null --ignore-failed-read -T - -c | tar -C "$source" -x
  fi
fi

# build NAME OPTION…
build() {
  local name=$1
  shift
  say "Build: $name"
  cmake -S "$source" -B "$cache/$name" -G Ninja "$@" >"$cache/$name.log" 2>&1 &&
    cmake --build "$cache/$name" -j "$cores" >>"$cache/$name.log" 2>&1 ||
    { tail -n 60 "$cache/$name.log"; echo "The build '$name' failed; all of it: $cache/$name.log"; return 1; }
  grep -A 3 -F 'warning: ' "$cache/$name.log" || true
}

# run WHO BUILD LABEL CTEST-OPTION…: one pass over the suites.
run() {
  local who=$1 name=$2 title=$3 before
  shift 3
  before=$(failures)
  say "Tests: $title"
  # CTest writes where it runs; the build belongs to whoever made it.
  mkdir -p "$home/$who/ctest"
  echo "subdirs(\"$cache/$name\")" >"$home/$who/ctest/CTestTestfile.cmake"
  chmod 777 "$home/$who/ctest"
  # One more than cores: much of what a suite takes is waiting, for deadlines among others.
  "as_$who" ctest --test-dir "$home/$who/ctest" -V -j "$((cores + 1))" "$@" 2>&1 |
    /usr/bin/python3 "$source/tests/report.py" --who "$who" --log "$cache/$name-$who.log" \
      --expected "$source/tests/expected-skips.txt" --counts "$counts" --failures "$home/failures" || count_failure "$before"
}

without=long
[ -n "$full" ] && without=none
# What has nothing of ours in C in it, a sanitizer cannot tell anything about.
without_c_less="$without|project|python|plain"

build plain

say "The core environment, in $environment"
status=0
"$cache/plain/bin/ci-env" create "$environment" --group core || status=$?
if [ "$status" != 0 ]; then
  environment=
  [ "$status" = 4 ] || count_failure "$(failures)" # 4: no registry here; what needs the environment is skipped
fi

say "AWS's clients, in $agentcore"
status=0
"$source/tests/agentcorelab/install.sh" "$agentcore" || status=$?
[ "$status" = 0 ] || [ "$status" = 4 ] || count_failure "$(failures)"

if [ "$(id -u)" = 0 ]; then
  # Kernels alone run once, and not as root: no session's is.
  run self plain "as root" -LE "$without|kernel|ordinary|sanitized"
  run user plain "as an ordinary user" -LE "$without|self|sanitized"
else
  run self plain "as $(id -un)" -LE "$without|root|sanitized"
fi
build sanitize -DCI_SANITIZE=address,undefined
run self sanitize "sanitizers, as $(id -un)" -LE "$without_c_less"
# Nor, once more, about what is alike for every user: parsers on the corpus, and what the label says.
[ "$(id -u)" = 0 ] && run user sanitize "sanitizers, as an ordinary user" -LE "$without_c_less|fuzz|alike|self"
if [ -n "$full" ]; then
  . "$source/tests/full.sh"
fi
over=1
