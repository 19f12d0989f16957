/* What every backend that can run code or tasks has to keep to, seen from the public interface; what one cannot do, its
 * capabilities say, and then it is refused by name. */
#include "conformance.h"

#include <stdio.h>
#include <string.h>

static ci_result *code_with(const char *text, const ci_run_options *options) {
    ci_result *result = NULL;
    ci_error *error = NULL;
    if (ci_execute_code(session, text, SIZE_MAX, options, &result, &error) < 0)
        fail_msg("%s: %s", text, ci_error_message(error));
    return result;
}

static ci_result *code(const char *language, const char *text) {
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.language = language;
    return code_with(text, &options);
}

static void assert_code_prints(const char *language, const char *text, const char *wanted) {
    ci_result *result = code(language, text);
    if (strcmp(ci_result_stdout(result, NULL), wanted) != 0)
        fprintf(stderr, "stderr: %s\n", ci_result_stderr(result, NULL));
    assert_string_equal(ci_result_stdout(result, NULL), wanted);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
}

/* False, and refused by name, where the session cannot run it. */
static bool runs_with(const ci_session_options *session_options, const char *language, uint64_t capability) {
    open_with(session_options);
    if (can(capability))
        return true;
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.language = language;
    ci_result *result = NULL;
    FAILS(CI_ERR_NOTSUP, language, ci_execute_code(session, "1", 1, &options, &result, &error));
    return false;
}

static bool runs(const char *language, uint64_t capability) {
    ci_session_options options = usual();
    return runs_with(&options, language, capability);
}

static void python_prints_and_keeps_its_variables(void **state) {
    (void)state;
    if (!runs("python", CI_CAP_PYTHON))
        return;
    assert_code_prints("python", "x = 41\nprint('begun')", "begun\n");
    assert_code_prints("python", "import sys\nprint(x + 1)\nprint('two')", "42\ntwo\n");
    ci_result *result = code("python", "print('out'); print('err', file=sys.stderr)");
    assert_string_equal(ci_result_stdout(result, NULL), "out\n");
    assert_non_null(strstr(ci_result_stderr(result, NULL), "err"));
    ci_result_free(result);
}

static void an_exception_is_a_result_and_keeps_what_came_before(void **state) {
    (void)state;
    if (!runs("python", CI_CAP_PYTHON))
        return;
    ci_result *result = code("python", "y = 7\nprint('before')\nnot_defined");
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_EXCEPTION);
    assert_string_equal(ci_result_error_name(result), "NameError");
    assert_string_equal(ci_result_error_message(result), "name 'not_defined' is not defined");
    assert_string_equal(ci_result_stdout(result, NULL), "before\n");
    ci_result_free(result);
    assert_code_prints("python", "print(y)", "7\n");
}

static void javascript_and_typescript_run(void **state) {
    (void)state;
    if (!runs("javascript", CI_CAP_JAVASCRIPT))
        return;
    assert_code_prints("javascript", "const a = [3, 1, 2]; console.log(a.sort().join())", "1,2,3\n");
    if (can(CI_CAP_TYPESCRIPT))
        assert_code_prints("typescript", "const n: number = 6; console.log(n * 7)", "42\n");
}

static void code_and_commands_see_the_same_files(void **state) {
    (void)state;
    if (!runs("python", CI_CAP_PYTHON))
        return;
    assert_code_prints("python", "print(open('made.txt', 'w').write('by code'))", "7\n");
    assert_prints("cat made.txt; echo more > other.txt", "by code");
    assert_code_prints("python", "print(open('other.txt').read().strip())", "more\n");
}

static void a_context_is_cleared(void **state) {
    (void)state;
    if (!runs("python", CI_CAP_PYTHON) || !can(CI_CAP_CLEAR_CONTEXT))
        return;
    assert_code_prints("python", "z = 1\nprint(z)", "1\n");
    assert_int_equal(ci_context_clear(session, "python", NULL, NULL), CI_OK);
    assert_code_prints("python", "print('z' in globals())", "False\n");
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    assert_code_prints("python", "z = 1\nprint(z)", "1\n");
    options.flags = CI_RUN_CLEAR_CONTEXT;
    ci_result *result = code_with("print('z' in globals())", &options);
    assert_string_equal(ci_result_stdout(result, NULL), "False\n");
    ci_result_free(result);
}

static void code_is_answered_for_at_its_deadline(void **state) {
    (void)state;
    ci_session_options patient = usual();
    patient.grace_ms = 300000; /* what is interrupted ends by itself, be it late */
    if (!runs_with(&patient, "python", CI_CAP_PYTHON))
        return;
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.timeout_ms = 200;
    ci_result *result = code_with("import time\ntime.sleep(60)", &options);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_int_equal(ci_result_state_lost(result), !can(CI_CAP_INTERRUPT));
    ci_result_free(result);
    assert_prints("echo here", "here\n");
}

static void a_command_tells_its_streams_and_its_end(void **state) {
    (void)state;
    open_usual();
    ci_result *result = command("echo out; echo err >&2; exit 3");
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_EXIT);
    assert_int_equal(ci_result_exit_code(result), 3);
    assert_string_equal(ci_result_stdout(result, NULL), "out\n");
    assert_string_equal(ci_result_stderr(result, NULL), "err\n");
    ci_result_free(result);
    result = command("printf 'no end'; printf '\\377\\r\\n' >&2; kill -9 $$");
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_SIGNAL);
    assert_non_null(strstr(ci_result_error_message(result), "signal 9"));
    assert_string_equal(ci_result_stdout(result, NULL), "no end");
    assert_string_equal(ci_result_stderr(result, NULL), "\377\r\n");
    ci_result_free(result);
    assert_prints("cat; echo \"it's\" '$HOME' | tr a-z A-Z", "IT'S $HOME\n");
}

static void a_long_command_runs(void **state) {
    (void)state;
    static char text[400000];
    open_usual();
    if (now->network == CI_NETWORK_HOST) /* the template hands it to sh as an argument */
        return;
    memcpy(text, "echo ", 5);
    memset(text + 5, 'x', 300000);
    strcpy(text + 300005, " | wc -c");
    assert_prints(text, "300001\n");
}

static void a_missing_working_folder_is_told(void **state) {
    (void)state;
    open_usual();
    if (now->network == CI_NETWORK_HOST) /* the template fails to start */
        return;
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.cwd = "nowhere";
    ci_result *result = command_with("pwd", &options);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    assert_non_null(strstr(ci_result_error_message(result), "nowhere: No such file"));
    ci_result_free(result);
}

static void a_task_is_started_polled_and_stopped(void **state) {
    (void)state;
    open_usual();
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.flags = CI_RUN_BACKGROUND;
    if (!can(CI_CAP_BACKGROUND)) {
        ci_result *none = NULL;
        FAILS(CI_ERR_NOTSUP, "background", ci_execute_command(session, "true", &options, &none, &error));
        return;
    }
    ci_result *result = command_with("echo one; until test -e go; do sleep 0.02; done; echo two; exit 4", &options);
    uint64_t task = ci_result_task_id(result);
    assert_true(task != 0 && ci_result_task_running(result));
    ci_result_free(result);
    char seen[64] = "";
    run_quietly("touch go");
    for (bool running = true; running;) {
        assert_int_equal(ci_task_poll(session, task, &result, NULL), CI_OK);
        strncat(seen, ci_result_stdout(result, NULL), sizeof seen - strlen(seen) - 1);
        running = ci_result_task_running(result);
        if (!running)
            assert_int_equal(ci_result_exit_code(result), 4);
        ci_result_free(result);
    }
    assert_string_equal(seen, "one\ntwo\n");
    result = NULL;
    FAILS(CI_ERR_NOTFOUND, "", ci_task_poll(session, task, &result, &error));

    result = command_with("echo begun; sleep 60", &options);
    task = ci_result_task_id(result);
    ci_result_free(result);
    assert_int_equal(ci_task_stop(session, task, &result, NULL), CI_OK);
    assert_int_equal(ci_result_task_running(result), 0);
    ci_result_free(result);
}

static void a_poll_never_cuts_a_character(void **state) {
    (void)state;
    open_usual();
    if (!can(CI_CAP_BACKGROUND))
        return;
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.flags = CI_RUN_BACKGROUND;
    ci_result *result =
        command_with("printf 'a\\303'; until test -e on; do sleep 0.02; done; printf '\\251b\\303'", &options);
    uint64_t task = ci_result_task_id(result);
    ci_result_free(result);
    char seen[64] = "";
    for (bool running = true; running;) {
        assert_int_equal(ci_task_poll(session, task, &result, NULL), CI_OK);
        running = ci_result_task_running(result);
        const char *text = ci_result_stdout(result, NULL);
        if (running && !strcmp(text, "a"))
            run_quietly("touch on");
        else
            assert_true(!running || strchr("\303", *text)); /* nothing, or from the character on */
        strncat(seen, text, sizeof seen - strlen(seen) - 1);
        ci_result_free(result);
    }
    assert_string_equal(seen, "a\303\251b\303"); /* of what ends nothing is held back */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(python_prints_and_keeps_its_variables),
        WITH(an_exception_is_a_result_and_keeps_what_came_before),
        WITH(javascript_and_typescript_run),
        WITH(code_and_commands_see_the_same_files),
        WITH(a_context_is_cleared),
        WITH(code_is_answered_for_at_its_deadline),
        WITH(a_command_tells_its_streams_and_its_end),
        WITH(a_long_command_runs),
        WITH(a_missing_working_folder_is_told),
        WITH(a_task_is_started_polled_and_stopped),
        WITH(a_poll_never_cuts_a_character),
    };
    return run_conformance(tests, sizeof tests / sizeof tests[0]);
}
