/* Limits are the session's as a whole. They are kept by control groups where the host has groups it may use;
 * CI_TEST_CGROUPS=1 says that here they must be. */
#include "support.h"

static bool by_groups;

static int make_session(void **state) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.memory_bytes = 192u << 20;
    options.process_count = 24;
    options.timeout_ms = 300000; /* emulated machines are slow */
    *state = open_session(&options);
    return 0;
}

static int close_session(void **state) {
    ci_session_close(*state);
    return 0;
}

static void control_groups_keep_the_limits_where_they_can(void **state) {
    char *info = NULL;
    assert_int_equal(ci_session_info(*state, &info, NULL), CI_OK);
    bool memory = strstr(info, "\"memoryLimitBy\":\"cgroup"), processes = strstr(info, "\"processLimitBy\":\"cgroup");
    by_groups = memory && processes;
    if (getenv("CI_TEST_CGROUPS") != NULL && !by_groups)
        fail_msg("not by control groups: %s", info);
    ci_free(info);
}

static void processes_share_one_memory_limit(void **state) {
    if (!by_groups)
        skip();
    ci_result *result =
        run_code(*state, "import subprocess, time\n"
                         "hold = 'b = b\"x\" * (80 << 20); print(1, flush=True); input()'\n"
                         "pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
                         "all = [subprocess.Popen(['python3', '-c', hold], **pipes) for _ in range(4)]\n"
                         "for p in all: p.stdout.readline()\n"
                         "while sum(p.poll() is None for p in all) > 2: time.sleep(0.05)\n" /* the others are dying */
                         "print(True)\n"
                         "for p in all: p.kill(); p.wait()\n");
    if (ci_result_outcome(result) != CI_OUTCOME_MEMORY_LIMIT) /* the kernel may be the one that is chosen */
        assert_string_equal(ci_result_stdout(result, NULL), "True\n");
    ci_result_free(result);
}

static void what_is_over_the_memory_limit_is_told_so(void **state) {
    if (!by_groups)
        skip();
    ci_result *result = run_command(*state, "exec python3 -c 'b = b\"x\" * (400 << 20)'");
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_MEMORY_LIMIT);
    assert_non_null(strstr(ci_result_error_message(result), "192 MiB"));
    ci_result_free(result);
    assert_prints(*state, "echo alive", "alive\n");
}

static void processes_are_counted_over_all_calls(void **state) {
    ci_result *result = run_command(*state, "sleep 60 & sleep 60 & sleep 60 & sleep 60 & sleep 60 & sleep 60 &");
    ci_result_free(result);
    result = run_code(*state, "import subprocess\nstarted = []\n"
                              "try:\n    while True: started.append(subprocess.Popen(['sleep', '60']))\n"
                              "except BlockingIOError: print(5 < len(started) <= 24 - 7)\n"
                              "for p in started: p.kill(); p.wait()\n");
    assert_string_equal(ci_result_stdout(result, NULL), "True\n");
    ci_result_free(result);
    assert_prints(*state, "echo alive", "alive\n");
}

static void a_session_cannot_change_its_limits(void **state) {
    assert_prints(*state,
                  "ls /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /tmp 2>/dev/null; "
                  "grep -w -e cgroup -e cgroup2 /proc/self/mountinfo",
                  "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_groups_keep_the_limits_where_they_can),
        cmocka_unit_test(a_session_cannot_change_its_limits),
        cmocka_unit_test(processes_are_counted_over_all_calls),
        cmocka_unit_test(processes_share_one_memory_limit),
        cmocka_unit_test(what_is_over_the_memory_limit_is_told_so),
    };
    return cmocka_run_group_tests(tests, make_session, close_session);
}
