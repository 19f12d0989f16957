/* What a tool takes as input, what it forgives, and in which words it refuses the rest. */
#include "../unit.h"

#include "../failmalloc.h"
#include "tools/input.h"

static const cii_tool *tool_named(const char *name) {
    _cleanup_buf_ cii_buf refusal;
    cii_buf_init(&refusal, 0);
    size_t id;
    ci_status status;
    const cii_tool *tool = cii_tool_find(name, &id, &refusal, &status);
    assert_non_null(tool);
    assert_ptr_equal(cii_tool_at(id), tool);
    return tool;
}

static void assert_refused(const char *tool, const char *json, const char *expected) {
    _cleanup_buf_ cii_buf refusal;
    cii_buf_init(&refusal, 0);
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    assert_int_equal(cii_tool_input_parse(&input, tool_named(tool), json, strlen(json), &refusal), CI_OK);
    assert_string_equal(refusal.size > 0 ? refusal.data : "", expected);
}

static void parse(cii_tool_input *input, const char *tool, const char *json) {
    _cleanup_buf_ cii_buf refusal;
    cii_buf_init(&refusal, 0);
    assert_int_equal(cii_tool_input_parse(input, tool_named(tool), json, strlen(json), &refusal), CI_OK);
    assert_string_equal(refusal.size > 0 ? refusal.data : "", "");
}

/* --- good input --------------------------------------------------------------------------------------------------- */

static void every_field_is_read(void **state) {
    (void)state;
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    parse(&input, "execute_code",
          "{\"code\": \"a\\u0000b\", \"language\": \"typescript\", \"output_filename\": \"x.png\", \"context\": \"c\", "
          "\"timeout\": 1.5}");
    size_t size;
    assert_memory_equal(cii_tool_text(&input, "code", &size), "a\0b", 4);
    assert_int_equal(size, 3);
    assert_string_equal(cii_tool_choice(&input, "language"), "typescript");
    assert_string_equal(cii_tool_text(&input, "output_filename", NULL), "x.png");
    assert_string_equal(cii_tool_text(&input, "context", NULL), "c");
    assert_int_equal(cii_tool_ms(&input, "timeout"), 1500);
}

static void fields_left_out_or_null_are_not_there(void **state) {
    (void)state;
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    parse(&input, "execute_code", "{\"code\": \"\", \"language\": null, \"timeout\": null}");
    assert_null(cii_tool_choice(&input, "language"));
    assert_null(cii_tool_text(&input, "context", NULL));
    assert_int_equal(cii_tool_ms(&input, "timeout"), 0);
    cii_tool_input_free(&input);
    parse(&input, "file_operations", "{\"operation\": \"list\", \"paths\": null, \"content\": []}");
    assert_int_equal(cii_tool_list_count(&input, "paths"), 0);
    assert_int_equal(cii_tool_list_count(&input, "content"), 0);
    cii_tool_input_free(&input);
    parse(&input, "execute_command", "{\"command\": \"true\"}");
    assert_false(cii_tool_flag(&input, "background"));
}

static void no_input_is_an_empty_object(void **state) {
    (void)state;
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    parse(&input, "ci_push_to_workspace", "");
    assert_int_equal(cii_tool_list_count(&input, "paths"), 0);
}

static void assert_paths(const char *json, size_t count, const char *last) {
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    parse(&input, "ci_push_to_workspace", json);
    assert_int_equal(cii_tool_list_count(&input, "paths"), count);
    assert_string_equal(cii_json_text_of(cii_tool_list_at(&input, "paths", count - 1), NULL), last);
}

static void what_can_mean_only_one_thing_is_forgiven(void **state) {
    (void)state;
    assert_paths("{\"paths\": [\"a\", \"b\"]}", 2, "b");
    assert_paths("{\"paths\": \"a\"}", 1, "a");
    assert_paths("{\"paths\": \"[\\\"a\\\", \\\"b\\\"]\"}", 2, "b");
    assert_paths("{\"paths\": \"[no json\"}", 1, "[no json");

    _cleanup_(cii_tool_input_free) cii_tool_input input;
    parse(&input, "execute_command", "{\"command\": \"x\", \"timeout\": \"2.5\", \"background\": \"True\"}");
    assert_int_equal(cii_tool_ms(&input, "timeout"), 2500);
    assert_true(cii_tool_flag(&input, "background"));
    cii_tool_input_free(&input);
    parse(&input, "execute_code", "{\"code\": \"x\", \"language\": \"Python\"}");
    assert_string_equal(cii_tool_choice(&input, "language"), "python");
    cii_tool_input_free(&input);
    parse(&input, "execute_code", "{\"code\": \"x\", \"language\": \"\", \"output_filename\": \"\"}");
    assert_null(cii_tool_choice(&input, "language"));
}

static void assert_contents(const char *json) {
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    parse(&input, "file_operations", json);
    assert_int_equal(cii_tool_list_count(&input, "content"), 1);
    const cii_json *entry = cii_tool_list_at(&input, "content", 0);
    assert_string_equal(cii_json_text_of(cii_json_get(entry, "path"), NULL), "a");
}

static void content_may_be_a_list_one_object_or_json_in_a_string(void **state) {
    (void)state;
    assert_contents("{\"operation\": \"write\", \"content\": [{\"path\": \"a\", \"text\": \"\"}]}");
    assert_contents("{\"operation\": \"write\", \"content\": {\"path\": \"a\", \"blob\": \"\", \"text\": null}}");
    assert_contents("{\"operation\": \"write\", \"content\": \"[{\\\"path\\\": \\\"a\\\", \\\"text\\\": \\\"\\\"}]\"}");
    assert_contents("{\"operation\": \"WRITE\", \"content\": \"{\\\"path\\\": \\\"a\\\", \\\"text\\\": \\\"\\\"}\"}");
}

static void a_timeout_is_never_rounded_down_to_none(void **state) {
    (void)state;
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    parse(&input, "execute_command", "{\"command\": \"x\", \"timeout\": 0.0001}");
    assert_int_equal(cii_tool_ms(&input, "timeout"), 1);
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static void an_unknown_tool_is_refused_with_the_nearest(void **state) {
    (void)state;
    static const struct {
        const char *name, *expected;
    } cases[] = {
        {"execute_cod", "unknown tool \"execute_cod\"; did you mean \"execute_code\"? Allowed: execute_code, "
                        "execute_command, file_operations, ci_push_to_workspace, workspace_read, workspace_list, "
                        "workspace_write"},
        {"frobnicate", "unknown tool \"frobnicate\"; allowed: execute_code, execute_command, file_operations, "
                       "ci_push_to_workspace, workspace_read, workspace_list, workspace_write"},
        {NULL, "unknown tool \"\"; allowed: execute_code, execute_command, file_operations, ci_push_to_workspace, "
               "workspace_read, workspace_list, workspace_write"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_buf_ cii_buf refusal;
        cii_buf_init(&refusal, 0);
        size_t id;
        ci_status status = CI_ERR_INTERNAL;
        assert_null(cii_tool_find(cases[i].name, &id, &refusal, &status));
        assert_int_equal(status, CI_OK);
        assert_string_equal(refusal.data, cases[i].expected);
    }
}

static void refusals_name_the_field_what_was_given_and_what_is_allowed(void **state) {
    (void)state;
    static const struct {
        const char *tool, *json, *expected;
    } cases[] = {
        {"execute_code", "{}", "execute_code: code: required"},
        {"execute_code", "{\"code\": null}", "execute_code: code: required"},
        {"execute_code", "{\"code\": 5}", "execute_code: code: a string is wanted, got 5"},
        {"execute_code", "{\"code\": [\"x\"]}", "execute_code: code: a string is wanted, got array"},
        {"execute_code", "{\"code\": \"\", \"langage\": \"python\"}",
         "execute_code: unknown field \"langage\"; did you mean \"language\"? Allowed: code, language, output_filename, "
         "context, clear_context, timeout"},
        {"execute_code", "{\"code\": \"\", \"language\": \"pyton\"}",
         "execute_code: language: \"pyton\" is not known; did you mean \"python\"? Allowed: python, javascript, "
         "typescript, bash"},
        {"execute_code", "{\"code\": \"\", \"language\": \"ruby\"}",
         "execute_code: language: \"ruby\" is not known; allowed: python, javascript, typescript, bash"},
        {"execute_code", "{\"code\": \"\", \"language\": {}}",
         "execute_code: language: a string is wanted, got object"},
        {"execute_code", "{\"code\": \"\", \"timeout\": 0}",
         "execute_code: timeout: a number of seconds above 0 and at most 1000000000 is wanted, got 0"},
        {"execute_code", "{\"code\": \"\", \"timeout\": -1.5}",
         "execute_code: timeout: a number of seconds above 0 and at most 1000000000 is wanted, got -1.5"},
        {"execute_code", "{\"code\": \"\", \"timeout\": \"nan\"}",
         "execute_code: timeout: a number of seconds above 0 and at most 1000000000 is wanted, got \"nan\""},
        {"execute_code", "{\"code\": \"\", \"timeout\": \"5 minutes\"}",
         "execute_code: timeout: a number of seconds above 0 and at most 1000000000 is wanted, got \"5 minutes\""},
        {"execute_code", "{\"code\": \"\", \"timeout\": 1e300}",
         "execute_code: timeout: a number of seconds above 0 and at most 1000000000 is wanted, got 1e+300"},
        {"execute_command", "{\"command\": \"a\\u0000b\"}", "execute_command: command: a NUL character is not allowed"},
        {"execute_command", "{\"command\": \"a\", \"background\": \"maybe\"}",
         "execute_command: background: true or false is wanted, got \"maybe\""},
        {"execute_command", "{\"command\": true}", "execute_command: command: a string is wanted, got true"},
        {"file_operations", "{\"operation\": \"\"}",
         "file_operations: operation: \"\" is not known; allowed: read, write, list, remove"},
        {"file_operations", "{\"operation\": \"read\", \"paths\": [\"a\", 1]}",
         "file_operations: paths[1]: a string is wanted, got 1"},
        {"file_operations", "{\"operation\": \"read\", \"paths\": 7}",
         "file_operations: paths: a string is wanted, got 7"},
        {"file_operations", "{\"operation\": \"write\", \"content\": [\"a\"]}",
         "file_operations: content[0]: an object with path and text or blob is wanted, got \"a\""},
        {"file_operations", "{\"operation\": \"write\", \"content\": [{\"path\": \"a\"}]}",
         "file_operations: content[0]: text or blob is required"},
        {"file_operations", "{\"operation\": \"write\", \"content\": [{\"text\": \"a\"}]}",
         "file_operations: content[0].path: required"},
        {"file_operations", "{\"operation\": \"write\", \"content\": [{\"path\": \"a\", \"text\": {}}]}",
         "file_operations: content[0].text: a string is wanted, got object"},
        {"file_operations",
         "{\"operation\": \"write\", \"content\": [{\"path\": \"a\", \"text\": \"\", \"blob\": \"\"}]}",
         "file_operations: content[0]: text and blob are both given; give one"},
        {"file_operations", "{\"operation\": \"write\", \"content\": [{\"path\": \"a\", \"txt\": \"\"}]}",
         "file_operations: content[0]: unknown field \"txt\"; did you mean \"text\"? Allowed: path, text, blob\n"
         "file_operations: content[0]: text or blob is required"},
        {"workspace_read", "[]", "workspace_read: the input must be a JSON object, got array"},
        {"workspace_read", "{\"path\": \"a\", \"x\": 1, \"y\": 2}",
         "workspace_read: unknown field \"x\"; allowed: path\nworkspace_read: unknown field \"y\"; allowed: path"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++)
        assert_refused(cases[i].tool, cases[i].json, cases[i].expected);
}

static void long_values_are_shortened_between_characters(void **state) {
    (void)state;
    assert_refused("execute_code", "{\"code\": \"\", \"language\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa€aaa\"}",
                   "execute_code: language: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…\" is not known; allowed: python, "
                   "javascript, typescript, bash");
}

static void input_that_is_no_json_is_refused_with_line_and_column(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf refusal;
    cii_buf_init(&refusal, 0);
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    const char *json = "{\"code\": \n  oops}";
    assert_int_equal(cii_tool_input_parse(&input, tool_named("execute_code"), json, strlen(json), &refusal), CI_OK);
    assert_non_null(strstr(refusal.data, "execute_code: the input is no JSON: "));
    assert_non_null(strstr(refusal.data, "line 2"));
}

static void a_refusal_of_very_much_stays_short(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf json, refusal;
    cii_buf_init(&json, 0);
    cii_buf_init(&refusal, 0);
    cii_buf_append_str(&json, "{\"code\": \"\"");
    for (int i = 0; i < 5000; i++)
        cii_buf_printf(&json, ", \"unknown%d\": 1", i);
    cii_buf_append_str(&json, "}");
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    assert_int_equal(cii_tool_input_parse(&input, tool_named("execute_code"), json.data, json.size, &refusal), CI_OK);
    assert_in_range(refusal.size, 1000, 4096 + 128);
}

static void the_table_fits_its_limits(void **state) {
    (void)state;
    for (size_t i = 0; i < CII_TOOL_COUNT; i++)
        assert_in_range(cii_tool_at(i)->field_count, 1, CII_TOOL_FIELDS_MAX);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static ci_status parse_all(void *user) {
    const char *json = user;
    _cleanup_buf_ cii_buf refusal;
    cii_buf_init(&refusal, 0);
    _cleanup_(cii_tool_input_free) cii_tool_input input;
    size_t id;
    ci_status status = CI_OK;
    const cii_tool *tool = cii_tool_find("file_operations", &id, &refusal, &status);
    return cii_tool_input_parse(&input, tool, json, strlen(json), &refusal);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    static const char *const inputs[] = {
        "{\"operation\": \"write\", \"content\": \"[{\\\"path\\\": \\\"a\\\", \\\"text\\\": \\\"\\\"}]\"}",
        "{\"operation\": \"wrote\", \"contents\": 1}", "no json", "[]"};
    for (size_t i = 0; i < CII_ELEMENTS(inputs); i++)
        assert_true(failmalloc_each(parse_all, (void *)inputs[i]) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(fields_left_out_or_null_are_not_there),
        cmocka_unit_test(no_input_is_an_empty_object),
        cmocka_unit_test(what_can_mean_only_one_thing_is_forgiven),
        cmocka_unit_test(content_may_be_a_list_one_object_or_json_in_a_string),
        cmocka_unit_test(a_timeout_is_never_rounded_down_to_none),
        cmocka_unit_test(an_unknown_tool_is_refused_with_the_nearest),
        cmocka_unit_test(refusals_name_the_field_what_was_given_and_what_is_allowed),
        cmocka_unit_test(long_values_are_shortened_between_characters),
        cmocka_unit_test(input_that_is_no_json_is_refused_with_line_and_column),
        cmocka_unit_test(a_refusal_of_very_much_stays_short),
        cmocka_unit_test(the_table_fits_its_limits),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
