/* The AgentCore backend on bytes: what it asks, what it makes of answers as they have been seen, and of lines that come from
 * within a session. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../unit.h"
#include "base/str.h"
#include "sandbox/agentcore/agentcore.h"

/* --- requests --------------------------------------------------------------------------------------------------------- */

static void assert_body(char *body, const size_t *size, const char *wanted) {
    assert_non_null(body);
    assert_string_equal(body, wanted);
    assert_int_equal(*size, strlen(wanted));
    free(body);
}

static void bodies_are_those_of_awss_clients(void **state) {
    (void)state;
    size_t size = 0;
    cii_agentcore_code code = {.text = "print(1)", .text_size = 8, .language = "python"};
    assert_body(cii_agentcore_body_code(&code, &size), &size,
                "{\"name\":\"executeCode\",\"arguments\":{\"code\":\"print(1)\",\"language\":\"python\"}}");
    code.runtime = "nodejs";
    code.clear_context = true;
    assert_body(cii_agentcore_body_code(&code, &size), &size,
                "{\"name\":\"executeCode\",\"arguments\":{\"code\":\"print(1)\",\"language\":\"python\","
                "\"runtime\":\"nodejs\",\"clearContext\":true}}");
    assert_body(cii_agentcore_body_command("executeCommand", "echo \"1\"", &size), &size,
                "{\"name\":\"executeCommand\",\"arguments\":{\"command\":\"echo \\\"1\\\"\"}}");
    assert_body(cii_agentcore_body_task("stopTask", "a-b", &size), &size,
                "{\"name\":\"stopTask\",\"arguments\":{\"taskId\":\"a-b\"}}");
    assert_body(cii_agentcore_body_write("d/x", "\0\1\377", 3, &size), &size,
                "{\"name\":\"writeFiles\",\"arguments\":{\"content\":[{\"path\":\"d/x\",\"blob\":\"AAH/\"}]}}");
    assert_body(cii_agentcore_body_start("n", 0, "t", &size), &size, "{\"name\":\"n\",\"clientToken\":\"t\"}");
    assert_body(cii_agentcore_body_start("n", 60, "t", &size), &size,
                "{\"name\":\"n\",\"sessionTimeoutSeconds\":60,\"clientToken\":\"t\"}");
    assert_body(cii_agentcore_body_stop("t", &size), &size, "{\"clientToken\":\"t\"}");
}

static void a_token_is_long_enough_and_no_other(void **state) {
    (void)state;
    char one[37], other[37];
    assert_int_equal(cii_agentcore_uuid(one, NULL), CI_OK);
    assert_int_equal(cii_agentcore_uuid(other, NULL), CI_OK);
    assert_int_equal(strlen(one), 36);
    assert_int_equal(one[14], '4');
    assert_non_null(strchr("89ab", one[19]));
    assert_string_not_equal(one, other);
}

/* --- results ---------------------------------------------------------------------------------------------------------- */

static char payload[1024]; /* results are read where they lie */

static void read_result(const char *json, cii_agentcore_result *r) {
    ci_error *error = NULL;
    snprintf(payload, sizeof payload, "%s", json);
    if (cii_agentcore_result_read(payload, strlen(payload), r, &error) < 0)
        fail_msg("%s: %s", json, ci_error_message(error));
}

static void results_are_read_as_they_have_been_seen(void **state) {
    (void)state;
    cii_agentcore_result r;
    read_result(
        "{\"content\":[{\"type\":\"text\",\"text\":\"1\"}],\"structuredContent\":{\"stdout\":\"1\",\"stderr\":\"\","
        "\"exitCode\":0,\"executionTime\":0.01},\"isError\":false}",
        &r);
    assert_string_equal(r.out, "1");
    assert_true(r.has_streams && r.has_exit_code && !r.is_error && r.exit_code == 0 && r.seconds == 0.01);
    assert_string_equal(r.message, "1");
    cii_agentcore_result_free(&r);
    read_result("{\"content\":[{\"type\":\"text\",\"text\":\"Task is working\"}],\"structuredContent\":"
                "{\"taskStatus\":\"working\",\"stdout\":\"a\\r\\n\",\"stderr\":\"\"},\"isError\":false}",
                &r); /* getTask tells no id */
    assert_null(r.task_id);
    assert_string_equal(r.task_status, "working");
    assert_false(r.has_exit_code);
    assert_true(r.seconds < 0);
    cii_agentcore_result_free(&r);
    read_result("{\"content\":[{\"type\":\"text\",\"text\":\"no such file\"}],\"isError\":true}", &r);
    assert_true(r.is_error && !r.has_streams);
    ci_error *error = NULL;
    assert_int_equal(cii_agentcore_tool_check(&r, NULL, &error), CI_ERR_INVALID);
    assert_non_null(strstr(ci_error_message(error), "no such file"));
    ci_error_free(error);
    cii_agentcore_result_free(&r);
    read_result("{\"content\":[],\"structuredContent\":{\"stdout\":7,\"exitCode\":null,\"executionTime\":null}}", &r);
    assert_true(!r.has_streams && !r.has_exit_code && r.out_size == 0);
    cii_agentcore_result_free(&r);
}

static void words_are_whole_and_without_secrets(void **state) {
    (void)state;
    const cii_aws_keys keys = {"AKIDEXAMPLE", "of-nobody-else", "a-token-of-some-length"};
    char words[CII_AGENTCORE_WORDS_MAX], text[2 * CII_AGENTCORE_WORDS_MAX + 2] = "-";
    cii_agentcore_words(&keys, "one\r\ntwo", 8, words);
    assert_string_equal(words, "one  two");
    cii_agentcore_words(&keys, "it is a-token-of-some-length", 28, words);
    assert_string_equal(words, "");
    for (size_t i = 0; i < CII_AGENTCORE_WORDS_MAX; i++)
        memcpy(text + i * 2, "é", 3);
    cii_agentcore_words(&keys, text, strlen(text), words);
    assert_int_equal(strlen(words), CII_AGENTCORE_WORDS_MAX - 2);
    memmove(text + 1, text, strlen(text) - 1);
    *text = '-';
    cii_agentcore_words(&keys, text, strlen(text), words);
    assert_int_equal(strlen(words), CII_AGENTCORE_WORDS_MAX - 1);
}

static void what_is_no_result_is_refused(void **state) {
    (void)state;
    static const char *const none[] = {"",
                                       "{",
                                       "[]",
                                       "1",
                                       "{}",
                                       "{\"content\":{}}",
                                       "{\"result\":{\"content\":[]}}",
                                       "{\"content\":[],\"structuredContent\":{\"exitCode\":\"1\"}}",
                                       "{\"content\":[],\"structuredContent\":{\"exitCode\":1.5}}",
                                       "{\"content\":[],\"structuredContent\":{\"exitCode\":4294967296}}"};
    for (size_t i = 0; i < CII_ELEMENTS(none); i++) {
        cii_agentcore_result r;
        snprintf(payload, sizeof payload, "%s", none[i]);
        assert_int_equal(cii_agentcore_result_read(payload, strlen(payload), &r, NULL), CI_ERR_PROTOCOL);
    }
}

/* Of a payload of 128 MiB more than 40 million values could be made. */
static void values_of_a_result_are_bounded(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf many = {0}, deep = {0};
    cii_buf_append_str(&many, "{\"content\":[{}");
    for (int i = 0; i < 65536; i++)
        cii_buf_append_str(&many, ",{}");
    cii_buf_append_str(&many, "]}");
    cii_buf_append_str(&deep, "{\"content\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}");
    cii_buf *const both[] = {&many, &deep};
    for (size_t i = 0; i < CII_ELEMENTS(both); i++) {
        cii_agentcore_result r;
        ci_error *error = NULL;
        assert_int_equal(cii_agentcore_result_read(both[i]->data, both[i]->size, &r, &error), CI_ERR_PROTOCOL);
        assert_non_null(strstr(ci_error_message(error), "more values than a result has"));
        ci_error_free(error);
    }
}

static void take_item(void *user, const char *mime_type, const void *data, size_t size) {
    cii_buf *told = user;
    assert_int_equal(cii_buf_printf(told, "%s=%.*s;", mime_type, (int)size, (const char *)data), CI_OK);
}

static void items_are_those_with_bytes_decoded_once(void **state) {
    (void)state;
    cii_agentcore_result r;
    uint32_t dropped = 0;
    _cleanup_buf_ cii_buf told = {0};
    read_result("{\"content\":[{\"type\":\"text\",\"text\":\"t\"},{\"type\":\"image\",\"data\":\"cG5n\",\"mimeType\":"
                "\"image/png\"},{\"type\":\"resource\",\"resource\":{\"uri\":\"file:///b\",\"blob\":\"WVdKag==\"}},"
                "{\"type\":\"image\",\"data\":\"*\"},{\"type\":\"resource\",\"resource\":{\"text\":\"x\"}},7]}",
                &r);
    cii_agentcore_result_items(&r, take_item, &told, &dropped);
    assert_string_equal(told.data, "image/png=png;application/octet-stream=YWJj;");
    assert_int_equal(dropped, 1);
    cii_agentcore_result_free(&r);
}

static void exceptions_are_named_by_the_line_behind_their_frames(void **state) {
    (void)state;
    static const struct {
        const char *traceback, *name, *message;
    } cases[] = {
        {"Traceback (most recent call last):\n  File \"x\"\nNameError: name 'x' is not defined\n", "NameError",
         "name 'x' is not defined"},
        {"\033[0;31mZeroDivisionError\033[0m: division by zero\r\n", "ZeroDivisionError", "division by zero"},
        {"json.decoder.JSONDecodeError: no", "json.decoder.JSONDecodeError", "no"},
        {"KeyboardInterrupt\n", "KeyboardInterrupt", ""},
        {"Traceback (most recent call last):\n  File \"x\", line 1\nValueError: a\nDone: b\n", "ValueError", "a"},
        {"Warning: w\nTraceback (most recent call last):\n  File \"x\"\nKeyError: 1\n\nDuring handling …\n\nTraceback (most "
         "recent call last):\n  File \"x\"\nOSError: 2\n",
         "OSError", "2"},
        {"ValueError       Traceback (most recent call last)\nCell In[1], line 1\n----> 1 f()\n\nValueError: a\nB: c\n",
         "ValueError", "a"},
        {"x:1\nBar\n^\n\nReferenceError: y\n    at x:1\n", "ReferenceError", "y"},
        {"x: y\nat line 3", NULL, NULL},
        {"", NULL, NULL},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char *name = NULL, *message = NULL;
        assert_int_equal(cii_agentcore_exception(cases[i].traceback, strlen(cases[i].traceback), &name, &message),
                         CI_OK);
        if (cases[i].name) {
            assert_string_equal(name, cases[i].name);
            assert_string_equal(message, cases[i].message);
        } else {
            assert_null(name);
        }
        free(name);
        free(message);
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------------ */

static ci_status tell_line(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    (void)ret_error;
    cii_buf *told = user;
    assert_int_equal(cii_buf_printf(told, "%c", line->tag), CI_OK);
    for (size_t i = 0; i < CII_AGENTCORE_FIELDS_MAX && line->fields[i]; i++)
        assert_int_equal(cii_buf_printf(told, " %s", line->fields[i]), CI_OK);
    return cii_buf_append_str(told, "\n");
}

static ci_status feed(const char *text, size_t size, size_t step, cii_buf *told, bool *ret_ended) {
    cii_agentcore_lines lines;
    cii_agentcore_lines_init(&lines, "abc");
    ci_status status = CI_OK;
    for (size_t at = 0; at < size && status == CI_OK; at += step)
        status = cii_agentcore_lines_feed(&lines, text + at, CII_MIN(step, size - at), tell_line, told, NULL);
    *ret_ended = lines.ended;
    cii_agentcore_lines_free(&lines);
    return status;
}

static void lines_are_read_however_they_come(void **state) {
    (void)state;
    static const char text[] = "a login's words\r\nci:ab\r\nci:abc\r\no AAA= 1\r\nm\nx 0 -1\r\n.\r\nwhat follows";
    for (size_t step = 1; step < sizeof text; step++) {
        _cleanup_buf_ cii_buf told = {0};
        bool ended;
        assert_int_equal(feed(text, sizeof text - 1, step, &told, &ended), CI_OK);
        assert_string_equal(told.data, "o AAA= 1\nm\nx 0 -1\n");
        assert_true(ended);
    }
}

static void lines_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const none[] = {"ci:abc\n\n", "ci:abc\nword\n", "ci:abc\no 1 2 3 4 5 6 7 8 9\n"};
    bool ended;
    for (size_t i = 0; i < CII_ELEMENTS(none); i++) {
        _cleanup_buf_ cii_buf told = {0};
        assert_int_equal(feed(none[i], strlen(none[i]), 1000, &told, &ended), CI_ERR_PROTOCOL);
    }
    static char endless[300 << 10];
    _cleanup_buf_ cii_buf told = {0};
    memset(endless, 'x', sizeof endless);
    assert_int_equal(feed(endless, sizeof endless, 4096, &told, &ended), CI_ERR_PROTOCOL);
}

static ci_status skip_line(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    (void)user, (void)line, (void)ret_error;
    return CI_OK;
}

static void an_answer_has_an_end_though_its_lines_are_short(void **state) {
    (void)state;
    static const char *const begun[] = {"", "ci:abc\n", "ci:abc\n.\n"};
    static char text[1 << 20];
    for (size_t at = 0; at < sizeof text; at++)
        text[at] = at % 1024 == 1023 ? '\n' : at % 1024 == 1 ? ' ' : 'z';
    for (size_t i = 0; i < CII_ELEMENTS(begun); i++) {
        cii_agentcore_lines lines;
        size_t count = 0;
        cii_agentcore_lines_init(&lines, "abc");
        ci_status status = cii_agentcore_lines_feed(&lines, begun[i], strlen(begun[i]), skip_line, NULL, NULL);
        for (; status == CI_OK && count < 1024; count++)
            status = cii_agentcore_lines_feed(&lines, text, sizeof text, skip_line, NULL, NULL);
        assert_int_equal(status, CI_ERR_PROTOCOL);
        assert_in_range(count, 64 * 2 * 4 / 3, 512);
        cii_agentcore_lines_free(&lines);
    }
}

static void fields_are_numbers_or_bytes(void **state) {
    (void)state;
    const cii_agentcore_line line = {'x', {"12", "-3", "1x", "", "99999999999999999999", "YWI=", "=", "*"}};
    int64_t n = 0;
    assert_true(cii_agentcore_field_int(&line, 0, &n) && n == 12);
    assert_true(cii_agentcore_field_int(&line, 1, &n) && n == -3);
    for (size_t i = 2; i < 9; i++)
        assert_false(cii_agentcore_field_int(&line, i, &n));
    _cleanup_buf_ cii_buf bytes = {0};
    assert_int_equal(cii_agentcore_field_bytes(&line, 5, &bytes, NULL), CI_OK);
    assert_int_equal(cii_agentcore_field_bytes(&line, 6, &bytes, NULL), CI_OK);
    assert_string_equal(bytes.data, "ab");
    assert_int_equal(cii_agentcore_field_bytes(&line, 7, &bytes, NULL), CI_ERR_PROTOCOL);
    assert_int_equal(cii_agentcore_field_bytes(&line, 8, &bytes, NULL), CI_ERR_PROTOCOL);
}

/* --- paths and options ------------------------------------------------------------------------------------------------ */

static void paths_are_the_services_own(void **state) {
    (void)state;
    cii_agentcore_session session = {.root = (char *)"/opt/var"};
    static const struct {
        const char *given, *wanted;
    } cases[] = {{"a/./b", "a/b"},
                 {"/workspace/x", "x"},
                 {"/workspace", "."},
                 {"/opt/var/x/y", "x/y"},
                 {"/opt/variable", "/opt/variable"},
                 {"/tmp/x", "/tmp/x"},
                 {"", "."},
                 {"a/../b", "b"}};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_free_ char *path = NULL;
        assert_int_equal(cii_agentcore_path(&session, cases[i].given, &path, NULL), CI_OK);
        assert_string_equal(path, cases[i].wanted);
    }
    char *none = NULL;
    assert_int_equal(cii_agentcore_path(&session, "../x", &none, NULL), CI_ERR_PERMISSION);
}

static void options_are_checked_before_anything_is_sent(void **state) {
    (void)state;
    static const struct {
        const char *text;
        ci_sandbox_agentcore_options options;
    } cases[] = {
        {"region: nobody", {.interpreter = NULL}},
        {"region: \"x/y\"", {.region = "x/y"}},
        {"interpreter", {.region = "us-east-1", .interpreter = "a/b"}},
        {"interpreter", {.region = "us-east-1", .interpreter = ""}},
        {"both or neither", {.region = "us-east-1", .access_key_id = "x"}},
        {"session_token", {.region = "us-east-1", .session_token = "x"}},
        {"name", {.region = "us-east-1", .name = "a b"}},
        {"runtime", {.region = "us-east-1", .runtime = "bun"}},
        {"session_timeout_s", {.region = "us-east-1", .session_timeout_s = 28801}},
        {"part_bytes", {.region = "us-east-1", .part_bytes = UINT64_C(1) << 40}},
        {"part_bytes", {.region = "us-east-1", .part_bytes = 4095}},
        {"network", {.region = "us-east-1", .network = 3}},
        {"", {.region = "us-east-1", .endpoint = "ftp://x"}},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        ci_sandbox_agentcore_options options = cases[i].options;
        ci_sandbox *sandbox = NULL;
        ci_error *error = NULL;
        options.struct_size = sizeof options;
        options.no_environment = 1;
        assert_int_equal(ci_sandbox_agentcore_new(&options, &sandbox, &error), CI_ERR_INVALID);
        if (!strstr(ci_error_message(error), cases[i].text))
            assert_string_equal(ci_error_message(error), cases[i].text);
        ci_error_free(error);
    }
    ci_sandbox *sandbox = NULL;
    ci_sandbox_agentcore_options arn = CI_SANDBOX_AGENTCORE_OPTIONS_INIT;
    arn.interpreter = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:code-interpreter-custom/mine-0123456789";
    arn.no_environment = 1;
    assert_int_equal(ci_sandbox_agentcore_new(&arn, &sandbox, NULL), CI_OK);
    ci_sandbox_free(sandbox);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_those_of_awss_clients),
        cmocka_unit_test(a_token_is_long_enough_and_no_other),
        cmocka_unit_test(results_are_read_as_they_have_been_seen),
        cmocka_unit_test(words_are_whole_and_without_secrets),
        cmocka_unit_test(what_is_no_result_is_refused),
        cmocka_unit_test(values_of_a_result_are_bounded),
        cmocka_unit_test(items_are_those_with_bytes_decoded_once),
        cmocka_unit_test(exceptions_are_named_by_the_line_behind_their_frames),
        cmocka_unit_test(lines_are_read_however_they_come),
        cmocka_unit_test(lines_that_are_none_are_refused),
        cmocka_unit_test(an_answer_has_an_end_though_its_lines_are_short),
        cmocka_unit_test(fields_are_numbers_or_bytes),
        cmocka_unit_test(paths_are_the_services_own),
        cmocka_unit_test(options_are_checked_before_anything_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
