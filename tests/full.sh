# Read by run.sh for --full, with its functions: what takes long beyond the tests marked so.

# part TITLE COMMAND…: what adds no counts itself is one test. 77: skipped, and its last line said why.
part() {
  local status=0 before lines
  say "$1"
  before=$(failures)
  lines=$(wc -l <"$counts")
  "${@:2}" || status=$?
  case $status in
    0) [ "$(wc -l <"$counts")" -gt "$lines" ] || echo 1 0 0 >>"$counts" ;;
    77) echo 0 0 1 >>"$counts" ;;
    *) count_failure "$before" ;;
  esac
}

# gcc 12's thread sanitizer does not start where the kernel scatters libraries as widely as newer ones do. Containers may
# forbid to ask for less.
mkdir -p "$home/thread" "$home/valgrind"
norandom=(setarch -R)
"${norandom[@]}" true 2>/dev/null || norandom=()
as_thread() {
  as_self "${norandom[@]}" "$@"
}
build thread -DCI_SANITIZE=thread -DCI_TEST_TIMEOUT_FACTOR=5 &&
  run thread thread "thread sanitizer, what is in C" -L "unit|integration|security" -LE "long|python|end-to-end" ||
  count_failure "$(failures)"

# Debian 12's valgrind answers ENOSYS to openat2 and pidfd_open: the rooms that need neither, and of storage what it has
# without a folder. What unpacks archives needs openat2.
as_valgrind() {
  as_self "$@"
}
build valgrind -DCMAKE_BUILD_TYPE=Debug -DCI_TEST_TIMEOUT_FACTOR=20 \
  "-DCMAKE_CROSSCOMPILING_EMULATOR=valgrind;-q;--leak-check=full;--error-exitcode=99;--child-silent-after-fork=yes" &&
  run valgrind valgrind "valgrind" -R '^test_(aws_(endpoint|event_stream|ini|rest_json|sigv4|sources|xml)|base|wire|result|tools|sandbox$|sandbox_agentcore$|storage$|storage_template$)' ||
  count_failure "$(failures)"

part "Fuzzing" "$source/tests/fuzz/run.sh" "$cache/fuzz"
part "Measuring" "$source/tests/bench/run.sh"

part "Tests: in a machine of its own with Debian's kernel" "$source/tests/vm/run.sh" "$cache/vm" "$cache/plain" "$counts"
