/* The JSON form: every result made here is checked against the shape of CallToolResult and of structuredContent. */
#include "support.h"

#include "base/base64.h"
#include "base/json.h"

/* --- the shape ---------------------------------------------------------------------------------------------------- */

typedef struct member {
    const char *key;
    const char *type; /* as cii_json_type_name() says it */
    bool required;
} member;

/* An object has the members of the table, each of its type, and no other. */
static void check_object(const cii_json *object, const member *members, size_t count) {
    assert_string_equal(cii_json_type_name(object), "object");
    for (size_t i = 0; i < count; i++) {
        const cii_json *value = cii_json_get(object, members[i].key);
        if (members[i].required && !value)
            fail_msg("member %s is missing", members[i].key);
        if (value)
            assert_string_equal(cii_json_type_name(value), members[i].type);
    }
    for (size_t i = 0; i < cii_json_count(object); i++) {
        const char *key = cii_json_key_at(object, i, NULL);
        bool known = false;
        for (size_t m = 0; m < count; m++)
            known = known || strcmp(key, members[m].key) == 0;
        if (!known)
            fail_msg("member %s is unknown", key);
    }
}
#define CHECK(object, table) check_object(object, table, CII_ELEMENTS(table))

static const char *text_of(const cii_json *object, const char *key) {
    const char *text = cii_json_text_of(cii_json_get(object, key), NULL);
    return text ? text : "";
}

static void check_base64(const char *text) {
    _cleanup_buf_ cii_buf bytes;
    cii_buf_init(&bytes, 0);
    assert_int_equal(cii_base64_decode(&bytes, text, strlen(text), NULL), CI_OK);
}

static void check_content_item(const cii_json *item) {
    static const member text[] = {{"type", "string", true}, {"text", "string", true}};
    static const member image[] = {
        {"type", "string", true}, {"data", "string", true}, {"mimeType", "string", true}, {"_meta", "object", false}};
    static const member resource[] = {
        {"type", "string", true}, {"resource", "object", true}, {"_meta", "object", false}};
    static const member contents[] = {
        {"uri", "string", true}, {"mimeType", "string", false}, {"text", "string", false}, {"blob", "string", false}};
    const char *type = text_of(item, "type");
    if (strcmp(type, "text") == 0) {
        CHECK(item, text);
    } else if (strcmp(type, "image") == 0) {
        CHECK(item, image);
        check_base64(text_of(item, "data"));
    } else {
        assert_string_equal(type, "resource");
        CHECK(item, resource);
        const cii_json *inner = cii_json_get(item, "resource");
        CHECK(inner, contents);
        assert_true(!cii_json_get(inner, "text") != !cii_json_get(inner, "blob"));
        check_base64(text_of(inner, "blob"));
    }
}

static void check_files(const cii_json *files) {
    static const member file[] = {
        {"path", "string", true},     {"kind", "string", false},     {"size", "number", true},
        {"status", "string", true},   {"key", "string", false},      {"target", "string", false},
        {"sha256", "string", false},  {"mimeType", "string", false}, {"modifiedMs", "number", false},
        {"entries", "number", false}, {"refused", "number", false},  {"error", "string", false}};
    for (size_t i = 0; i < cii_json_count(files); i++)
        CHECK(cii_json_at(files, i), file);
}

static void check_structured(const cii_json *structured) {
    static const member all[] = {
        {"stdout", "string", true},      {"stderr", "string", true},        {"result", "string", false},
        {"exitCode", "number", true},    {"executionTime", "number", true}, {"outcome", "string", true},
        {"error", "object", false},      {"stateLost", "boolean", true},    {"truncated", "object", false},
        {"files", "array", false},       {"preload", "array", false},       {"changes", "array", false},
        {"background", "string", false}, {"taskId", "string", false},       {"taskStatus", "string", false},
        {"diagnostics", "array", false}, {"refusals", "array", false},      {"replaced", "array", false}};
    static const member error[] = {
        {"name", "string", true}, {"message", "string", true}, {"traceback", "string", false}};
    static const member cut[] = {{"kept", "number", true}, {"total", "number", true}};
    CHECK(structured, all);
    bool ok = strcmp(text_of(structured, "outcome"), "ok") == 0;
    assert_int_equal(cii_json_get(structured, "error") == NULL, ok);
    if (!ok)
        CHECK(cii_json_get(structured, "error"), error);
    const cii_json *truncated = cii_json_get(structured, "truncated");
    for (size_t i = 0; i < cii_json_count(truncated); i++)
        CHECK(cii_json_at(truncated, i), cut);
    const cii_json *diagnostics = cii_json_get(structured, "diagnostics");
    static const member diagnostic[] = {
        {"code", "number", true}, {"line", "number", true}, {"column", "number", true}, {"message", "string", true}};
    for (size_t i = 0; i < cii_json_count(diagnostics); i++)
        CHECK(cii_json_at(diagnostics, i), diagnostic);
    const cii_json *refusals = cii_json_get(structured, "refusals");
    static const member refusal[] = {{"name", "string", false}, {"address", "string", false},
                                     {"port", "number", true},  {"protocol", "string", true},
                                     {"rule", "string", true},  {"count", "number", true}};
    for (size_t i = 0; i < cii_json_count(refusals); i++)
        CHECK(cii_json_at(refusals, i), refusal);
    check_files(cii_json_get(structured, "files"));
    check_files(cii_json_get(structured, "preload"));
    check_files(cii_json_get(structured, "changes"));
}

/* The parsed JSON of a result, checked. */
static cii_json *json_of(const ci_result *result) {
    static const member all[] = {
        {"content", "array", true}, {"structuredContent", "object", true}, {"isError", "boolean", true}};
    char *text = NULL;
    size_t size = 0;
    cii_json *root = NULL;
    assert_int_equal(ci_result_json(result, &text, &size), CI_OK);
    assert_int_equal(strlen(text), size);
    assert_null(memchr(text, '\n', size));
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    ci_free(text);
    CHECK(root, all);
    const cii_json *content = cii_json_get(root, "content"), *structured = cii_json_get(root, "structuredContent");
    for (size_t i = 0; i < cii_json_count(content); i++)
        check_content_item(cii_json_at(content, i));
    check_structured(structured);
    assert_int_equal(cii_json_bool_of(cii_json_get(root, "isError")),
                     strcmp(text_of(structured, "outcome"), "ok") != 0);
    return root;
}

static const cii_json *item_at(const cii_json *root, size_t index) {
    return cii_json_at(cii_json_get(root, "content"), index);
}

static void assert_content_count(const cii_json *root, size_t count) {
    assert_int_equal(cii_json_count(cii_json_get(root, "content")), count);
}

static void assert_text_item(const cii_json *root, size_t index, const char *text) {
    assert_string_equal(text_of(item_at(root, index), "type"), "text");
    assert_string_equal(text_of(item_at(root, index), "text"), text);
}

static const cii_json *structured_of(const cii_json *root, const char *key) {
    return cii_json_get(cii_json_get(root, "structuredContent"), key);
}

static void assert_structured_text(const cii_json *root, const char *key, const char *text) {
    assert_string_equal(cii_json_text_of(structured_of(root, key), NULL), text);
}

/* --- runs --------------------------------------------------------------------------------------------------------- */

static void feed_silent(const ci_sink *sink) {
    end_ok(sink);
}

static void a_silent_run_has_empty_content(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_silent);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 0);
    assert_structured_text(root, "stdout", "");
    assert_null(structured_of(root, "result"));
    assert_null(structured_of(root, "truncated"));
    assert_null(structured_of(root, "files"));
    assert_null(structured_of(root, "taskId"));
}

static void feed_all(const ci_sink *sink) {
    put(sink, "out\n");
    sink->output(sink->user, CI_STREAM_STDERR, "warn\n", 5);
    sink->item(sink->user, "image/png", "\x89PNG", 4, 3);
    sink->item(sink->user, "text/html", "<b>ä</b>", 9, 4);
    sink->item(sink->user, "image/svg+xml", "<svg/>", 6, 4);
    sink->item(sink->user, "application/pdf", "%PDF\0\xff", 6, 4);
    sink->background(sink->user, "late", 4);
    sink->done(sink->user,
               &(ci_run_outcome){
                   .struct_size = sizeof(ci_run_outcome), .value = "42", .value_size = 2, .execution_us = 2500000});
}

static void content_comes_in_its_order_and_the_last_value_last(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_all);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 7);
    assert_text_item(root, 0, "out\n");
    assert_text_item(root, 1, "warn\n");
    const cii_json *image = item_at(root, 2);
    assert_string_equal(text_of(image, "type"), "image");
    assert_string_equal(text_of(image, "data"), "iVBORw==");
    assert_string_equal(text_of(image, "mimeType"), "image/png");
    assert_int_equal(cii_json_int_of(cii_json_get(cii_json_get(image, "_meta"), "ci/stdoutOffset")), 3);
    const cii_json *html = cii_json_get(item_at(root, 3), "resource");
    assert_string_equal(text_of(html, "uri"), "ci://item/1");
    assert_string_equal(text_of(html, "mimeType"), "text/html");
    assert_string_equal(text_of(html, "text"), "<b>ä</b>");
    assert_string_equal(text_of(cii_json_get(item_at(root, 4), "resource"), "text"), "<svg/>");
    assert_string_equal(text_of(cii_json_get(item_at(root, 5), "resource"), "blob"), "JVBERgD/");
    assert_text_item(root, 6, "42");
    assert_structured_text(root, "stdout", "out\n");
    assert_structured_text(root, "stderr", "warn\n");
    assert_structured_text(root, "result", "42");
    assert_structured_text(root, "background", "late");
    assert_int_equal(cii_json_int_of(structured_of(root, "exitCode")), 0);
    assert_true(cii_json_double_of(structured_of(root, "executionTime")) == 2.5);
}

static void feed_exception(const ci_sink *sink) {
    put(sink, "before\n");
    sink->done(sink->user, &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome),
                                             .outcome = CI_OUTCOME_EXCEPTION,
                                             .error_name = "ValueError",
                                             .error_message = "bad",
                                             .traceback = "Traceback:\n  x\nValueError: bad\n"});
}

static void an_exception_keeps_the_output_and_shows_the_traceback_once(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_exception);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 2);
    assert_text_item(root, 0, "before\n");
    assert_text_item(root, 1, "Traceback:\n  x\nValueError: bad");
    const cii_json *error = structured_of(root, "error");
    assert_string_equal(text_of(error, "name"), "ValueError");
    assert_string_equal(text_of(error, "message"), "bad");
    assert_int_equal(cii_json_int_of(structured_of(root, "exitCode")), 1);
}

static void feed_bare_exception(const ci_sink *sink) {
    sink->done(sink->user, &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome),
                                             .outcome = CI_OUTCOME_EXCEPTION,
                                             .error_name = "ValueError",
                                             .error_message = "bad"});
}

static void an_exception_without_a_traceback_shows_name_and_message(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_bare_exception);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 1);
    assert_text_item(root, 0, "ValueError: bad");
}

static void feed_type_error(const ci_sink *sink) {
    sink->done(sink->user, &(ci_run_outcome){
                               .struct_size = sizeof(ci_run_outcome),
                               .outcome = CI_OUTCOME_TYPE_ERROR,
                               .traceback = "cell.ts(1,7): error TS2322: bad\n",
                               .diagnostics = "[{\"code\":2322,\"line\":1,\"column\":7,\"message\":\"bad\"},"
                                              "{\"code\":-1,\"line\":1e99,\"column\":\"x\",\"message\":\"odd\"},"
                                              "{\"code\":1},7,[[]],{\"message\":3}]",
                           });
}

static void diagnostics_are_told_and_what_is_none_is_left_out(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_type_error);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 1);
    assert_int_equal(cii_json_count(cii_json_get(cii_json_get(root, "structuredContent"), "diagnostics")), 2);
    ci_diagnostic diagnostic = CI_DIAGNOSTIC_INIT;
    assert_int_equal(ci_result_diagnostic_count(result), 2);
    assert_int_equal(ci_result_diagnostic(result, 0, &diagnostic), CI_OK);
    assert_string_equal(diagnostic.message, "bad");
    assert_int_equal(diagnostic.code, 2322);
    assert_int_equal(diagnostic.line, 1);
    assert_int_equal(diagnostic.column, 7);
    assert_int_equal(ci_result_diagnostic(result, 1, &diagnostic), CI_OK);
    assert_string_equal(diagnostic.message, "odd");
    assert_int_equal(diagnostic.code + diagnostic.line + diagnostic.column, 0);
    assert_int_equal(ci_result_diagnostic(result, 2, &diagnostic), CI_ERR_INVALID);
}

/* A guest may send anything. */
static void diagnostics_that_are_none_are_not_there(void **state) {
    (void)state;
    static char large[(1u << 20) + 2];
    memset(large, '[', sizeof large - 1);
    const char *const texts[] = {"", "null", "{}", "[", "[[[[[[[[1]]]]]]]]", "\xff", "[] []", large};
    for (size_t i = 0; i < CII_ELEMENTS(texts); i++) {
        ci_run_outcome outcome = {.struct_size = sizeof outcome, .outcome = CI_OUTCOME_TYPE_ERROR};
        outcome.diagnostics = texts[i];
        _cleanup_result_ ci_result *result = result_of(&outcome, NULL);
        _cleanup_json_ cii_json *root = json_of(result);
        assert_int_equal(ci_result_diagnostic_count(result), 0);
        assert_null(cii_json_get(cii_json_get(root, "structuredContent"), "diagnostics"));
    }
}

/* --- what the network refused ------------------------------------------------------------------------------------- */

#define REFUSE(sink, ...) (sink)->refusal((sink)->user, &(ci_refusal){.struct_size = sizeof(ci_refusal), __VA_ARGS__})

static void refuse_some(const ci_sink *sink) {
    REFUSE(sink, .protocol = "tcp", .address = "10.0.0.1", .port = 80, .rule = "10.0.0.0/8 is private");
    REFUSE(sink, .protocol = "tcp", .address = "2001:db8::1", .port = 443, .rule = "not allowed");
    REFUSE(sink, .protocol = "tcp", .address = "10.0.0.1", .port = 80, .rule = "10.0.0.0/8 is private", .count = 6);
    REFUSE(sink, .protocol = "udp", .name = "a.example", .address = "10.0.0.1", .port = 53, .rule = "a rule");
    REFUSE(sink, .protocol = "dns", .name = "b.example", .rule = "not allowed");
}

static void feed_refusals(const ci_sink *sink) {
    refuse_some(sink);
    sink->done(sink->user, &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome),
                                             .outcome = CI_OUTCOME_EXCEPTION,
                                             .traceback = "no way"});
}

static void what_the_network_refused_is_told_to_programs_and_models(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_refusals);
    ci_refusal refusal = CI_REFUSAL_INIT;
    assert_int_equal(ci_result_refusal_count(result), 4);
    assert_int_equal(ci_result_refusal_total(result), 10);
    assert_int_equal(ci_result_refusal(result, 0, &refusal), CI_OK);
    assert_string_equal(refusal.text, "tcp 10.0.0.1:80 (10.0.0.0/8 is private)");
    assert_int_equal(refusal.count, 7);
    assert_int_equal(refusal.port, 80);
    assert_null(refusal.name);
    assert_int_equal(ci_result_refusal(result, 3, &refusal), CI_OK);
    assert_string_equal(refusal.name, "b.example");
    assert_null(refusal.address);
    assert_string_equal(refusal.protocol, "dns");
    assert_string_equal(refusal.rule, "not allowed");
    assert_int_equal(ci_result_refusal(result, 4, &refusal), CI_ERR_INVALID);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 2);
    assert_text_item(root, 0, "no way");
    assert_text_item(root, 1,
                     "refused: tcp 10.0.0.1:80 (10.0.0.0/8 is private), 7 times\n"
                     "refused: tcp [2001:db8::1]:443 (not allowed)\n"
                     "refused: udp a.example:53 at 10.0.0.1 (a rule)\n"
                     "refused: dns b.example (not allowed)");
    const cii_json *first = cii_json_at(structured_of(root, "refusals"), 0);
    assert_string_equal(text_of(first, "address"), "10.0.0.1");
    assert_int_equal(cii_json_int_of(cii_json_get(first, "count")), 7);
    assert_int_equal(cii_json_count(structured_of(root, "refusals")), 4);
    assert_null(structured_of(root, "truncated"));
}

static void feed_refusals_of_good_code(const ci_sink *sink) {
    refuse_some(sink);
    end_ok(sink);
}

static void refusals_of_code_that_went_well_are_for_programs_alone(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_refusals_of_good_code);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 0);
    assert_int_equal(cii_json_count(structured_of(root, "refusals")), 4);
}

static void feed_many_refusals(const ci_sink *sink) {
    for (int32_t port = 1; port <= 100; port++)
        REFUSE(sink, .protocol = "tcp", .address = "10.0.0.1", .port = port, .rule = "r");
    REFUSE(sink, .protocol = "tcp", .address = "10.0.0.1", .port = 64, .rule = "r");
    sink->done(sink->user,
               &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .outcome = CI_OUTCOME_EXIT, .exit_code = 2});
}

static void of_many_refusals_some_are_kept_and_the_rest_is_counted(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_many_refusals);
    assert_int_equal(ci_result_refusal_count(result), 64);
    assert_int_equal(ci_result_refusal_total(result), 101);
    _cleanup_json_ cii_json *root = json_of(result);
    const cii_json *cut = cii_json_get(structured_of(root, "truncated"), "refusals");
    assert_int_equal(cii_json_int_of(cii_json_get(cut, "kept")), 65);
    assert_int_equal(cii_json_int_of(cii_json_get(cut, "total")), 101);
    const char *text = text_of(item_at(root, 1), "text");
    assert_non_null(strstr(text, "refused: tcp 10.0.0.1:5 (r)\nrefused: 96 more"));
    assert_null(strstr(text, "10.0.0.1:6 "));
}

static void feed_odd_refusals(const ci_sink *sink) {
    static char large[4000];
    memset(large, 'x', sizeof large - 1);
    REFUSE(sink, .protocol = "tcp", .name = large, .rule = large, .port = 7);
    REFUSE(sink, .protocol = "tcp\nrefused: all", .name = "a\x1b[2J", .rule = "r");
    REFUSE(sink, .name = NULL);
    sink->refusal(sink->user, &(ci_refusal){.struct_size = offsetof(ci_refusal, rule), .name = "n", .rule = large});
    end_ok(sink);
}

/* What a backend should have checked stays on its line, and small. */
static void odd_refusals_lose_what_is_odd_and_are_counted(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_odd_refusals);
    _cleanup_json_ cii_json *root = json_of(result);
    const char *const wanted[] = {"tcp port 7 (?)", "? (r)", "? (?)", "? n (?)"};
    assert_int_equal(ci_result_refusal_count(result), CII_ELEMENTS(wanted));
    for (size_t i = 0; i < CII_ELEMENTS(wanted); i++) {
        ci_refusal refusal = CI_REFUSAL_INIT;
        assert_int_equal(ci_result_refusal(result, i, &refusal), CI_OK);
        assert_string_equal(refusal.text, wanted[i]);
        assert_int_equal(refusal.count, 1);
    }
}

static void modules_that_were_replaced_are_told_up_to_a_limit(void **state) {
    (void)state;
    const char *names[101] = {"six", "n\xff"};
    for (size_t i = 2; i < 100; i++)
        names[i] = "more";
    const ci_run_outcome outcome = {.struct_size = sizeof outcome, .replaced = names};
    _cleanup_result_ ci_result *result = result_of(&outcome, NULL);
    _cleanup_json_ cii_json *root = json_of(result);
    const cii_json *replaced = cii_json_get(cii_json_get(root, "structuredContent"), "replaced");
    assert_int_equal(cii_json_count(replaced), 64);
    assert_int_equal(ci_result_replaced_count(result), 64);
    assert_string_equal(ci_result_replaced(result, 0), "six");
    assert_string_equal(ci_result_replaced(result, 1), "n\xef\xbf\xbd");
    assert_null(ci_result_replaced(result, 64));
    assert_content_count(root, 1);
}

static void every_outcome_but_ok_says_what_happened(void **state) {
    (void)state;
    for (int32_t outcome = CI_OUTCOME_EXCEPTION; outcome <= CI_OUTCOME_REFUSED; outcome++) {
        _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_silent);
        assert_int_equal(cii_result_override(result, outcome, NULL), CI_OK);
        _cleanup_json_ cii_json *root = json_of(result);
        assert_content_count(root, 1);
        assert_structured_text(root, "outcome", ci_outcome_name(outcome));
        assert_non_null(strstr(text_of(item_at(root, 0), "text"), ci_result_error_message(result)));
    }
}

static void a_timeout_says_the_limit_where_it_was_and_what_was_lost(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_exception);
    assert_int_equal(cii_result_override_timeout(result, 1000), CI_OK);
    cii_result_set_state_lost(result, true);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_text_item(root, 1,
                     "time-out after 1 s\nTraceback:\n  x\nValueError: bad\n\n"
                     "The variables of this context were lost; the files are still there.");
    assert_true(cii_json_bool_of(structured_of(root, "stateLost")));
    assert_int_equal(cii_json_int_of(structured_of(root, "exitCode")), 124);
}

static void feed_too_much(const ci_sink *sink) {
    put(sink, "0123456789abcdef");
    sink->item(sink->user, "image/png", "1", 1, 0);
    sink->item(sink->user, "image/png", "2", 1, 0);
    sink->done(
        sink->user,
        &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .value = "cut", .value_size = 3, .value_total = 3000});
}

static void truncation_is_told_with_what_was_kept_of_how_much(void **state) {
    (void)state;
    cii_result_limits limits = {.stream_bytes = 4, .item_count = 1};
    _cleanup_result_ ci_result *result = collect(&limits, NULL, feed_too_much);
    _cleanup_json_ cii_json *root = json_of(result);
    static const struct {
        const char *key;
        int64_t kept, total;
    } expected[] = {{"stdout", 4, 16}, {"result", 3, 3000}, {"items", 1, 2}};
    const cii_json *truncated = structured_of(root, "truncated");
    assert_int_equal(cii_json_count(truncated), CII_ELEMENTS(expected));
    for (size_t i = 0; i < CII_ELEMENTS(expected); i++) {
        const cii_json *cut = cii_json_get(truncated, expected[i].key);
        assert_int_equal(cii_json_int_of(cii_json_get(cut, "kept")), expected[i].kept);
        assert_int_equal(cii_json_int_of(cii_json_get(cut, "total")), expected[i].total);
    }
}

static void feed_bytes(const ci_sink *sink) {
    put(sink, "a\xff"
              "b\n");
    end_ok(sink);
}

static void bytes_that_are_not_utf8_become_replacement_characters(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_bytes);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_text_item(root, 0,
                     "a\xef\xbf\xbd"
                     "b\n");
}

static void a_task_has_an_id_and_a_status(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_silent);
    cii_result_set_task(result, 7, true);
    _cleanup_json_ cii_json *working = json_of(result);
    assert_structured_text(working, "taskId", "7");
    assert_structured_text(working, "taskStatus", "working");
    assert_text_item(working, 0, "Task 7 is running in the background.");
    cii_result_set_task(result, 7, false);
    _cleanup_json_ cii_json *completed = json_of(result);
    assert_structured_text(completed, "taskStatus", "completed");
    assert_int_equal(cii_result_override(result, CI_OUTCOME_SIGNAL, NULL), CI_OK);
    _cleanup_json_ cii_json *failed = json_of(result);
    assert_structured_text(failed, "taskStatus", "failed");
    cii_result_set_task_stopped(result);
    _cleanup_json_ cii_json *canceled = json_of(result);
    assert_structured_text(canceled, "taskStatus", "canceled");
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static ci_result *of_kind(cii_result_kind kind) {
    ci_result *result = NULL;
    assert_int_equal(cii_result_new(kind, NULL, &result), CI_OK);
    return result;
}

static void add(ci_result *result, int32_t list, ci_file_info info) {
    info.struct_size = sizeof info;
    assert_int_equal(cii_result_add_file(result, list, &info, NULL), CI_OK);
}
#define ADD(result, ...) add(result, CI_FILES_MAIN, (ci_file_info){__VA_ARGS__})

static void files_read_are_resources_as_text_or_blob_by_content(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = of_kind(CII_RESULT_READ);
    ADD(result, .path = "dir/a b%ä.csv", .data = "1,2\n", .data_size = 4, .size_bytes = 4, .kind = CI_KIND_REGULAR);
    ADD(result, .path = "x.txt", .data = "a\0b", .data_size = 3, .size_bytes = 3, .kind = CI_KIND_REGULAR);
    ADD(result, .path = "/tmp/\xff", .data = "", .kind = CI_KIND_REGULAR);
    ADD(result, .path = "gone", .status = CI_FILE_FAILED, .error = "No such file or directory");
    assert_int_equal(cii_result_settle(result), CI_OK);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 4);
    const cii_json *first = cii_json_get(item_at(root, 0), "resource");
    assert_string_equal(text_of(first, "uri"), "file:///workspace/dir/a%20b%25%C3%A4.csv");
    assert_string_equal(text_of(first, "mimeType"), "text/csv");
    assert_string_equal(text_of(first, "text"), "1,2\n");
    assert_string_equal(text_of(cii_json_get(item_at(root, 1), "resource"), "blob"), "YQBi");
    const cii_json *third = cii_json_get(item_at(root, 2), "resource");
    assert_string_equal(text_of(third, "uri"), "file:///tmp/%FF");
    assert_string_equal(text_of(third, "text"), "");
    assert_text_item(root, 3, "failed gone: No such file or directory");
    const cii_json *files = structured_of(root, "files");
    assert_int_equal(cii_json_count(files), 4);
    assert_string_equal(text_of(cii_json_at(files, 2), "path"), "/tmp/\xef\xbf\xbd");
    assert_string_equal(text_of(cii_json_at(files, 3), "status"), "failed");
}

static void files_of_the_workspace_have_its_uri(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = of_kind(CII_RESULT_WORKSPACE_READ);
    ADD(result, .path = "code-interpreter/c.png", .data = "\x89", .data_size = 1, .kind = CI_KIND_REGULAR);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 1);
    assert_string_equal(text_of(cii_json_get(item_at(root, 0), "resource"), "uri"),
                        "workspace:///code-interpreter/c.png");
}

static void a_listing_has_a_line_for_each_file(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = of_kind(CII_RESULT_LIST);
    ADD(result, .path = "a.csv", .size_bytes = 1234567, .kind = CI_KIND_REGULAR);
    ADD(result, .path = "b", .kind = CI_KIND_DIRECTORY);
    ADD(result, .path = "c", .kind = CI_KIND_SYMLINK);
    ADD(result, .path = "d", .kind = CI_KIND_OTHER);
    ADD(result, .path = "e", .size_bytes = 1, .kind = CI_KIND_REGULAR);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_text_item(root, 0, "a.csv (1,234,567 bytes)\nb/\nc (link)\nd (special file)\ne (1 byte)");
    assert_string_equal(text_of(cii_json_at(structured_of(root, "files"), 1), "kind"), "directory");
    _cleanup_result_ ci_result *none = of_kind(CII_RESULT_LIST);
    _cleanup_json_ cii_json *empty = json_of(none);
    assert_text_item(empty, 0, "(empty)");
    assert_int_equal(cii_json_count(structured_of(empty, "files")), 0);
    assert_non_null(structured_of(empty, "files"));
}

static void a_push_says_what_became_of_each_file(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = of_kind(CII_RESULT_PUSH);
    ADD(result, .path = "chart.png", .key = "code-interpreter/chart.png", .sha256 = "ab", .size_bytes = 12345,
        .kind = CI_KIND_REGULAR, .status = CI_FILE_SAVED);
    ADD(result, .path = "a.csv", .key = "code-interpreter/a.csv", .size_bytes = 5, .status = CI_FILE_UNCHANGED);
    ADD(result, .path = "node_modules", .status = CI_FILE_SKIPPED, .error = "a folder of packages");
    ADD(result, .path = "b.csv", .status = CI_FILE_FAILED, .error = "disk full");
    assert_int_equal(cii_result_settle(result), CI_OK);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 1);
    assert_text_item(root, 0,
                     "1 saved, 1 unchanged, 1 skipped, 1 failed\n"
                     "saved chart.png (12,345 bytes) -> code-interpreter/chart.png\n"
                     "unchanged a.csv (5 bytes) -> code-interpreter/a.csv\n"
                     "skipped node_modules: a folder of packages\n"
                     "failed b.csv: disk full");
    assert_string_equal(text_of(cii_json_at(structured_of(root, "files"), 0), "sha256"), "ab");
    assert_string_equal(text_of(cii_json_at(structured_of(root, "files"), 0), "key"), "code-interpreter/chart.png");
    _cleanup_result_ ci_result *none = of_kind(CII_RESULT_PUSH);
    _cleanup_json_ cii_json *empty = json_of(none);
    assert_content_count(empty, 1);
}

static void writing_and_removing_are_put_into_words(void **state) {
    (void)state;
    _cleanup_result_ ci_result *written = of_kind(CII_RESULT_WRITE), *removed = of_kind(CII_RESULT_REMOVE);
    ADD(written, .path = "a", .size_bytes = 5, .kind = CI_KIND_REGULAR);
    ADD(removed, .path = "a");
    _cleanup_json_ cii_json *write = json_of(written), *removal = json_of(removed);
    assert_text_item(write, 0, "wrote a (5 bytes)");
    assert_text_item(removal, 0, "removed a");
}

static void a_file_saved_by_a_run_comes_after_its_output(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_all);
    ADD(result, .path = "c.png", .key = "code-interpreter/c.png", .size_bytes = 10, .status = CI_FILE_SAVED);
    _cleanup_json_ cii_json *root = json_of(result);
    assert_text_item(root, 6, "saved c.png (10 bytes) -> code-interpreter/c.png");
    assert_text_item(root, 7, "42");
    assert_int_equal(cii_json_count(structured_of(root, "files")), 1);
}

static void preload_and_changes_are_structured_only(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_silent);
    add(result, CI_FILES_PRELOAD,
        (ci_file_info){.path = "a.zip",
                       .target = "a",
                       .key = "uploads/a.zip",
                       .size_bytes = 9,
                       .status = CI_FILE_UNPACKED,
                       .entry_count = 3,
                       .refused_count = 1});
    add(result, CI_FILES_CHANGES, (ci_file_info){.path = "new", .status = CI_FILE_CREATED, .modified_ms = 5});
    _cleanup_json_ cii_json *root = json_of(result);
    assert_content_count(root, 0);
    const cii_json *archive = cii_json_at(structured_of(root, "preload"), 0);
    assert_string_equal(text_of(archive, "target"), "a");
    assert_int_equal(cii_json_int_of(cii_json_get(archive, "entries")), 3);
    assert_int_equal(cii_json_int_of(cii_json_get(archive, "refused")), 1);
    assert_string_equal(text_of(cii_json_at(structured_of(root, "changes"), 0), "status"), "created");
    _cleanup_result_ ci_result *report = of_kind(CII_RESULT_REPORT);
    _cleanup_json_ cii_json *none = json_of(report);
    assert_non_null(structured_of(none, "preload"));
}

static void a_long_listing_is_cut_for_the_model_but_every_failure_is_told(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = of_kind(CII_RESULT_LIST);
    for (int i = 0; i < 1500; i++)
        ADD(result, .path = "f", .kind = CI_KIND_REGULAR);
    ADD(result, .path = "bad", .status = CI_FILE_FAILED, .error = "why");
    assert_int_equal(cii_result_settle(result), CI_OK);
    _cleanup_json_ cii_json *root = json_of(result);
    const char *text = text_of(item_at(root, 0), "text");
    assert_non_null(strstr(text, "\nfailed bad: why\n… and 500 more"));
    assert_int_equal(cii_json_count(structured_of(root, "files")), 1501);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_run_has_empty_content),
        cmocka_unit_test(content_comes_in_its_order_and_the_last_value_last),
        cmocka_unit_test(an_exception_keeps_the_output_and_shows_the_traceback_once),
        cmocka_unit_test(an_exception_without_a_traceback_shows_name_and_message),
        cmocka_unit_test(diagnostics_are_told_and_what_is_none_is_left_out),
        cmocka_unit_test(diagnostics_that_are_none_are_not_there),
        cmocka_unit_test(what_the_network_refused_is_told_to_programs_and_models),
        cmocka_unit_test(refusals_of_code_that_went_well_are_for_programs_alone),
        cmocka_unit_test(of_many_refusals_some_are_kept_and_the_rest_is_counted),
        cmocka_unit_test(odd_refusals_lose_what_is_odd_and_are_counted),
        cmocka_unit_test(modules_that_were_replaced_are_told_up_to_a_limit),
        cmocka_unit_test(every_outcome_but_ok_says_what_happened),
        cmocka_unit_test(a_timeout_says_the_limit_where_it_was_and_what_was_lost),
        cmocka_unit_test(truncation_is_told_with_what_was_kept_of_how_much),
        cmocka_unit_test(bytes_that_are_not_utf8_become_replacement_characters),
        cmocka_unit_test(a_task_has_an_id_and_a_status),
        cmocka_unit_test(files_read_are_resources_as_text_or_blob_by_content),
        cmocka_unit_test(files_of_the_workspace_have_its_uri),
        cmocka_unit_test(a_listing_has_a_line_for_each_file),
        cmocka_unit_test(a_push_says_what_became_of_each_file),
        cmocka_unit_test(writing_and_removing_are_put_into_words),
        cmocka_unit_test(a_file_saved_by_a_run_comes_after_its_output),
        cmocka_unit_test(preload_and_changes_are_structured_only),
        cmocka_unit_test(a_long_listing_is_cut_for_the_model_but_every_failure_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
