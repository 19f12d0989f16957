/* Settings files: read as another client reads them, bounded, without quoting what is in them. */
#include "../unit.h"

#include <fcntl.h>

#include "aws/ini.h"
#include "base/json.h"
#include "failmalloc.h"
#include "os/fd.h"

static cii_ini *parse(const char *text) {
    cii_ini *ini = NULL;
    assert_int_equal(cii_ini_parse(text, strlen(text), &ini, NULL), CI_OK);
    return ini;
}

/* --- another client's answers ------------------------------------------------------------------------------------- */

static void compare_within(const cii_ini *ini, const char *section, const char *key, const cii_json *values) {
    assert_string_equal(cii_ini_get(ini, section, key), "");
    for (size_t i = 0; i < cii_json_count(values); i++) {
        const char *got = cii_ini_get_within(ini, section, key, cii_json_key_at(values, i, NULL));
        assert_non_null(got);
        assert_string_equal(got, cii_json_text_of(cii_json_at(values, i), NULL));
    }
}

static void compare_section(const cii_ini *ini, const char *section, const cii_json *values) {
    assert_true(cii_ini_has(ini, section));
    for (size_t i = 0; i < cii_json_count(values); i++) {
        const cii_json *value = cii_json_at(values, i);
        const char *key = cii_json_key_at(values, i, NULL);
        if (cii_json_type_of(value) == CII_JSON_OBJECT) {
            compare_within(ini, section, key, value);
        } else {
            assert_non_null(cii_ini_get(ini, section, key));
            assert_string_equal(cii_ini_get(ini, section, key), cii_json_text_of(value, NULL));
        }
    }
}

static void compare_case(const cii_json *c) {
    size_t size;
    const char *text = cii_json_text_of(cii_json_get(c, "text"), &size);
    const cii_json *sections = cii_json_get(c, "sections");
    _cleanup_ini_ cii_ini *ini = NULL;
    ci_status status = cii_ini_parse(text, size, &ini, NULL);
    if (status != (cii_json_type_of(sections) == CII_JSON_NULL ? CI_ERR_INVALID : CI_OK))
        fail_msg("%s: %s", cii_json_text_of(cii_json_get(c, "name"), NULL), ci_status_name(status));
    for (size_t i = 0; i < cii_json_count(sections); i++)
        compare_section(ini, cii_json_key_at(sections, i, NULL), cii_json_at(sections, i));
}

static void other_clients_read_the_same(void **state) {
    (void)state;
    size_t size;
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, TEST_DATA "/ini.json", 1 << 20, &size);
    _cleanup_json_ cii_json *root = NULL;
    assert_non_null(text);
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    const cii_json *cases = cii_json_get(root, "cases");
    assert_true(cii_json_count(cases) > 20);
    for (size_t i = 0; i < cii_json_count(cases); i++)
        compare_case(cii_json_at(cases, i));
}

/* --- where we are more lenient ------------------------------------------------------------------------------------ */

static void what_comes_again_adds_and_replaces(void **state) {
    (void)state;
    _cleanup_ini_ cii_ini *ini = parse("[a]\nx = 1\ny = 2\n[b]\nx = 3\n[a]\nx = 4\nz = 5\nz = 6\n");
    assert_string_equal(cii_ini_get(ini, "a", "x"), "4");
    assert_string_equal(cii_ini_get(ini, "a", "y"), "2");
    assert_string_equal(cii_ini_get(ini, "a", "z"), "6");
    assert_string_equal(cii_ini_get(ini, "b", "x"), "3");
}

static void a_byte_order_mark_is_passed_over(void **state) {
    (void)state;
    _cleanup_ini_ cii_ini *ini = parse("\xef\xbb\xbf[a]\nx = 1\n");
    assert_string_equal(cii_ini_get(ini, "a", "x"), "1");
}

static void what_is_not_there_is_not_found(void **state) {
    (void)state;
    _cleanup_ini_ cii_ini *ini = parse("[a]\nx = 1\ns3 =\n  y = 2\n");
    assert_false(cii_ini_has(ini, "A"));
    assert_null(cii_ini_get(ini, "a", "y"));
    assert_null(cii_ini_get(ini, "b", "x"));
    assert_null(cii_ini_get_within(ini, "a", "x", "y"));
    assert_null(cii_ini_get_within(ini, "a", "s3", "x"));
}

/* --- bounds, memory ----------------------------------------------------------------------------------------------- */

static void errors_name_the_line_and_quote_nothing(void **state) {
    (void)state;
    _cleanup_ini_ cii_ini *ini = NULL;
    _cleanup_error_ ci_error *told = NULL;
    static char large[CII_INI_SIZE_MAX + 1];
    FAILS(CI_ERR_INVALID, "line 3", cii_ini_parse("[a]\nx = 1\nhidden\n", 17, &ini, &error));
    FAILS(CI_ERR_INVALID, "line 1: no [section]", cii_ini_parse("x = 1\n", 6, &ini, &error));
    FAILS(CI_ERR_INVALID, "NUL", cii_ini_parse("[a]\0", 4, &ini, &error));
    FAILS(CI_ERR_LIMIT, "at most", cii_ini_parse(large, sizeof large, &ini, &error));
    assert_null(ini);
    cii_ini_parse("[a]\nhidden\n", 11, &ini, &told);
    assert_null(strstr(ci_error_message(told), "hidden"));
}

static void any_damage_is_read_or_refused(void **state) {
    (void)state;
    static const char text[] = "[profile \"x\"]\r\na = b\n\n  c\n\n[s]\ns3 =\n  d = e\n\tf=g\n#h\ni:j";
    for (size_t size = 0; size < sizeof text; size++)
        for (size_t at = 0; at < size; at++)
            for (const char *put = " \n[]=\"#\r\xef"; *put; put++) {
                _cleanup_free_ char *copy = malloc(size); /* of its very size, for sanitizers to see what is beyond */
                _cleanup_ini_ cii_ini *ini = NULL;
                memcpy(copy, text, size);
                copy[at] = *put;
                ci_status status = cii_ini_parse(copy, size, &ini, NULL);
                assert_true(status == CI_OK || status == CI_ERR_INVALID);
                assert_true((status == CI_OK) == (ini != NULL));
            }
}

static ci_status parse_some(void *user) {
    (void)user;
    _cleanup_ini_ cii_ini *ini = NULL;
    _cleanup_error_ ci_error *error = NULL;
    char text[1024] = "[a]\n";
    for (int i = 0; i < 100; i++)
        strncat(text, "x = 1\n", sizeof text - strlen(text) - 1);
    ci_status status = cii_ini_parse(text, strlen(text), &ini, &error);
    assert_int_equal(ci_error_status(error), status);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(failmalloc_each(parse_some, NULL), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_clients_read_the_same),
        cmocka_unit_test(what_comes_again_adds_and_replaces),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(errors_name_the_line_and_quote_nothing),
        cmocka_unit_test(any_damage_is_read_or_refused),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
