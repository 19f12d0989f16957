/* The workspace as a session uses it: names and keys, what a preload and a push cost in requests, manifest and progress. */
#include <unistd.h>

#include "base/common.h"
#include "fixture.h"

static int set_up(void **state) {
    (void)state;
    return fixture_set_up(1);
}

static void open_with(const ci_session_options *options) {
    ci_error *error = NULL;
    if (ci_session_open(options, &session, &error) < 0)
        fail_msg("%s", ci_error_message(error));
}

/* In the folder of the workspace. */
static void shell(const char *command) {
    char text[1024];
    snprintf(text, sizeof text, "cd %s && { %s; }", folder, command);
    assert_int_equal(system(text), 0);
}

static void run_quietly(const char *command) {
    assert_prints(command, "");
}

static ci_result *push(const ci_push_options *options) {
    ci_result *result = NULL;
    ci_error *error = NULL;
    if (ci_push_to_workspace(session, NULL, 0, options, &result, &error) < 0)
        fail_msg("%s", ci_error_message(error));
    return result;
}

/* --- names and keys ------------------------------------------------------------------------------------------------ */

static void a_host_adds_prefixes_of_its_own(void **state) {
    (void)state;
    shell("mkdir -p office/ann/q1 shared uploads secret && echo 1 > office/ann/q1/plan.txt && echo 2 > shared/s.txt &&"
          "echo 3 > uploads/u.txt && echo 4 > secret/x && echo 5 > office/other");
    const char *prefixes[] = {"documents/=office/{user}/", "a/b/=shared", NULL};
    ci_session_options options = usual();
    options.user = "ann";
    options.prefixes = prefixes;
    open_with(&options);
    assert_prints("ls", "u.txt\n"); /* only uploads are brought */
    run_quietly("echo 6 > out.txt");
    ci_result_free(push(NULL));

    static const char *const names[] = {"a/b/s.txt", "code-interpreter/out.txt", "documents/q1/plan.txt",
                                        "uploads/u.txt"};
    ci_result *result = NULL;
    assert_int_equal(ci_workspace_list(session, "", &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), CII_ELEMENTS(names));
    for (size_t i = 0; i < CII_ELEMENTS(names); i++) {
        ci_file_info info = CI_FILE_INFO_INIT;
        assert_int_equal(ci_result_file(result, CI_FILES_MAIN, i, &info), CI_OK);
        assert_string_equal(info.path, names[i]);
    }
    ci_result_free(result);
    assert_int_equal(ci_workspace_list(session, "doc", &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 1);
    ci_result_free(result);
    assert_int_equal(ci_workspace_list(session, "documents/q2", &result, NULL), CI_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 0);
    ci_result_free(result);
    assert_int_equal(ci_workspace_stat(session, "documents/q1/plan.txt", &result, NULL), CI_OK);
    ci_result_free(result);
    assert_int_equal(ci_workspace_remove(session, "documents/q1/plan.txt", NULL), CI_OK);
    assert_false(is_here("office/ann/q1/plan.txt"));
    result = NULL;
    FAILS(CI_ERR_INVALID, "begins with none of \"a/b/\"", ci_workspace_stat(session, "secret/x", &result, &error));
    FAILS(CI_ERR_INVALID, "", ci_workspace_stat(session, "documents/../other", &result, &error));
    char *json = NULL;
    assert_int_equal(ci_session_info(session, &json, NULL), CI_OK);
    assert_non_null(strstr(json, "\"documents/\":\"office/ann/\""));
    ci_free(json);
}

static void prefixes_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *prefixes[3];
        const char *why;
    } cases[] = {
        {{"documents=x/"}, "\"documents=x/\" is not allowed: entries have the form NAME/=KEY PREFIX/"},
        {{"=x/"}, "entries have the form"},
        {{"documents/"}, "entries have the form"},
        {{"../=x/"}, "prefixes \"../\""},
        {{"a//=x/"}, "prefixes \"a//\""},
        {{"d/=../x/"}, "prefixes \"../x/\""},
        {{"d/={user}/"}, "has {user}, but user is not set"},
        {{"d/={other}/"}, "only {user} and {session} are replaced"},
        {{"uploads/=x/"}, "\"uploads/\" is there already"},
        {{"d/=x/", "d/=y/"}, "\"d/\" is there already"},
        {{"d/=x/", "d/e/=y/"}, "\"d/e/\" lies below \"d/\""},
        {{"uploads/e/=y/"}, "\"uploads/e/\" lies below \"uploads/\""},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        ci_session_options options = usual();
        options.prefixes = cases[i].prefixes;
        ci_session *opened = NULL;
        FAILS(CI_ERR_INVALID, cases[i].why, ci_session_open(&options, &opened, &error));
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(a_host_adds_prefixes_of_its_own),
        WITH(prefixes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests_name("the workspace of a session", tests, NULL, NULL);
}
