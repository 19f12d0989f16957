/* How far a session reaches: rules from the host to the backend, refusals from the backend to the host. */
#include "../unit.h"
#include "base/json.h"
#include "fake.h"
#include "session/session.h"

static fake_log logged;
static ci_sandbox *sandbox;
static char lines[16384]; /* of the session's log, as "level domain message\n" */

static void log_line(void *user, int32_t level, const char *domain, const char *message) {
    (void)user;
    size_t size = strlen(lines);
    snprintf(lines + size, sizeof lines - size, "%d %s %s\n", level, domain, message);
}

static int set_up(void **state) {
    (void)state;
    logged = (fake_log){0};
    lines[0] = 0;
    sandbox = fake_sandbox(FAKE_INTERNET | FAKE_POLICY, &logged);
    return sandbox ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    ci_sandbox_free(sandbox);
    return logged.open_sessions || logged.open_ops ? -1 : 0;
}

static ci_session_options internet(const char *const *allow, const char *const *deny) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    options.network = CI_NETWORK_INTERNET;
    options.network_allow = allow;
    options.network_deny = deny;
    options.log = log_line;
    return options;
}

static ci_session *open_with(const ci_session_options *options) {
    ci_session *session = NULL;
    ci_error *error = NULL;
    if (ci_session_open(options, &session, &error) < 0)
        fail_msg("%s", ci_error_message(error));
    return session;
}

static const char *const none[] = {NULL};

/* From the moment that opening has begun they may do what they like with theirs. */
static void rules_are_the_sessions_own(void **state) {
    (void)state;
    char first[] = "example.org:443", second[] = "*.example.org";
    const char *allow[] = {first, second, NULL}, *deny[] = {"10.0.0.0/8", NULL};
    ci_session_options options = internet(allow, deny);
    ci_call *call = NULL;
    ci_session *session = NULL;
    assert_int_equal(ci_session_open_start(&options, &call, NULL), CI_OK);
    memset(first, 'x', sizeof first);
    allow[1] = NULL;
    deny[0] = NULL;
    assert_int_equal(ci_call_wait(call, -1), CI_CALL_DONE);
    assert_int_equal(ci_call_take_session(call, &session, NULL), CI_OK);
    ci_call_free(call);
    assert_string_equal(logged.allow, "example.org:443,*.example.org,");
    assert_string_equal(logged.deny, "10.0.0.0/8,");
    ci_session_close(session);
}

static void an_empty_list_is_not_the_same_as_none(void **state) {
    (void)state;
    ci_session_options options = internet(none, NULL);
    ci_session_close(open_with(&options));
    assert_string_equal(logged.allow, "");
    assert_string_equal(logged.deny, "-");
    options = internet(NULL, NULL);
    ci_session_close(open_with(&options));
    assert_string_equal(logged.allow, "-");
}

static void rules_without_the_internet_are_refused(void **state) {
    (void)state;
    ci_session *session = NULL;
    ci_session_options options = internet(none, NULL);
    options.network = CI_NETWORK_NONE;
    FAILS(CI_ERR_INVALID, "network_allow: only network CI_NETWORK_INTERNET has rules, and network is CI_NETWORK_NONE",
          ci_session_open(&options, &session, &error));
    options = internet(NULL, none);
    options.network = CI_NETWORK_HOST;
    FAILS(CI_ERR_INVALID, "network_deny: only", ci_session_open(&options, &session, &error));
    assert_null(session);
}

static void rules_that_the_backend_cannot_keep_are_refused(void **state) {
    (void)state;
    ci_session *session = NULL;
    ci_sandbox_free(sandbox);
    sandbox = fake_sandbox(FAKE_INTERNET, &logged);
    ci_session_options options = internet(NULL, none);
    FAILS(CI_ERR_NOTSUP, "network_deny: the backend \"fake\" cannot keep to such rules",
          ci_session_open(&options, &session, &error));
    options = internet(NULL, NULL);
    ci_session_close(open_with(&options));
}

/* An older program's struct ends before the rules; what lies behind it is none of ours. */
static void a_program_from_before_there_were_rules_has_none(void **state) {
    (void)state;
    const char *const rule[] = {"x.example", NULL};
    ci_session_options options = internet(rule, rule);
    options.struct_size = offsetof(ci_session_options, network_allow);
    ci_session_close(open_with(&options));
    assert_string_equal(logged.allow, "-");
    assert_string_equal(logged.deny, "-");
    options.struct_size = offsetof(ci_session_options, network_deny);
    ci_session_close(open_with(&options));
    assert_string_equal(logged.allow, "x.example,");
    assert_string_equal(logged.deny, "-");
}

static cii_json *network_of(ci_session *session) {
    char *json = NULL;
    cii_json *root = NULL;
    assert_int_equal(ci_session_info(session, &json, NULL), CI_OK);
    assert_int_equal(cii_json_parse(json, strlen(json), 0, &root, NULL), CI_OK);
    ci_free(json);
    return root;
}

static void info_has_the_rules(void **state) {
    (void)state;
    const char *const allow[] = {"example.org", "*:53", NULL};
    ci_session_options options = internet(allow, NULL);
    ci_session *session = open_with(&options);
    _cleanup_json_ cii_json *root = network_of(session);
    const cii_json *network = cii_json_get(root, "network");
    assert_string_equal(cii_json_text_of(cii_json_get(network, "mode"), NULL), "internet");
    assert_non_null(strstr(cii_json_text_of(cii_json_get(network, "meaning"), NULL), "as the rules allow"));
    assert_int_equal(cii_json_count(cii_json_get(network, "allow")), 2);
    assert_string_equal(cii_json_text_of(cii_json_at(cii_json_get(network, "allow"), 1), NULL), "*:53");
    assert_string_equal(cii_json_type_name(cii_json_get(network, "deny")), "null");
    ci_session_close(session);
}

static ci_result *run(ci_session *session, const char *text) {
    ci_result *result = NULL;
    assert_int_equal(ci_execute_code(session, text, SIZE_MAX, NULL, &result, NULL), CI_OK);
    return result;
}

static void refusals_are_in_the_result_and_in_the_log(void **state) {
    (void)state;
    ci_session_options options = internet(NULL, NULL);
    ci_session *session = open_with(&options);
    lines[0] = 0;
    ci_result *result = run(session, "refuse 2"), *next = run(session, "say x");
    assert_int_equal(ci_result_refusal_count(result), 2);
    assert_int_equal(ci_result_refusal_total(result), 3);
    assert_int_equal(ci_result_refusal_count(next), 0);
    assert_string_equal(lines, "2 network refused: tcp 10.0.0.1:1 (private), 2 times\n"
                               "2 network refused: tcp 10.0.0.1:2 (private)\n");
    ci_result_free(result);
    ci_result_free(next);
    ci_session_close(session);
}

static void many_refusals_do_not_flood_the_log(void **state) {
    (void)state;
    ci_session_options options = internet(NULL, NULL);
    ci_session *session = open_with(&options);
    lines[0] = 0;
    ci_result_free(run(session, "refuse 5000"));
    size_t count = 0;
    for (const char *at = lines; (at = strchr(at, '\n')); at++)
        count++;
    assert_int_equal(count, 65);
    assert_non_null(strstr(lines, "2 network refused: 4936 more\n"));
    ci_session_close(session);
}

#define WITH_SANDBOX(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SANDBOX(rules_are_the_sessions_own),
        WITH_SANDBOX(an_empty_list_is_not_the_same_as_none),
        WITH_SANDBOX(rules_without_the_internet_are_refused),
        WITH_SANDBOX(rules_that_the_backend_cannot_keep_are_refused),
        WITH_SANDBOX(a_program_from_before_there_were_rules_has_none),
        WITH_SANDBOX(info_has_the_rules),
        WITH_SANDBOX(refusals_are_in_the_result_and_in_the_log),
        WITH_SANDBOX(many_refusals_do_not_flood_the_log),
    };
    return cmocka_run_group_tests_name("session network", tests, NULL, NULL);
}
