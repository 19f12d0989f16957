/* JSON: the writer, and the reader with its bounds and its errors. */
#include "unit.h"

#include <locale.h>
#include <math.h>

#include "base/json.h"
#include "failmalloc.h"

/* --- writer ------------------------------------------------------------------------------------------------------- */

static void assert_text(cii_json_writer *w, const char *wanted) {
    size_t size = 0;
    _cleanup_free_ char *text = cii_json_take(w, &size);
    assert_non_null(text);
    assert_string_equal(text, wanted);
    assert_int_equal(size, strlen(wanted));
}

static void writes_every_kind_of_value(void **state) {
    (void)state;
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_string(w, "text", "a \"b\"\\\n\x01/ \xc3\xa9");
    cii_json_key_string(w, "absent", NULL);
    cii_json_key(w, "nothing");
    cii_json_string(w, NULL);
    cii_json_key_int(w, "int", INT64_MIN);
    cii_json_key(w, "uint");
    cii_json_uint(w, UINT64_MAX);
    cii_json_key_bool(w, "yes", true);
    cii_json_key(w, "list");
    cii_json_begin_array(w);
    cii_json_bool(w, false);
    cii_json_null(w);
    cii_json_begin_object(w);
    cii_json_end_object(w);
    cii_json_raw(w, "{\"x\": 1}", 8);
    cii_json_end_array(w);
    cii_json_key(w, "blob");
    cii_json_base64(w, "\0\xff", 2);
    cii_json_key(w, "empty");
    cii_json_base64(w, NULL, 0);
    cii_json_end_object(w);
    assert_text(w, "{\"text\":\"a \\\"b\\\"\\\\\\n\\u0001/ \xc3\xa9\",\"nothing\":null,\"int\":-9223372036854775808,"
                   "\"uint\":18446744073709551615,\"yes\":true,\"list\":[false,null,{},{\"x\": 1}],\"blob\":\"AP8=\","
                   "\"empty\":\"\"}");
}

static void doubles_are_short_and_know_no_locale(void **state) {
    (void)state;
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed */
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_array(w);
    static const double values[] = {0, 0.1, -2.5, 3, 1e300, 5e-324, 1.0 / 3, 123456789012345678.0, NAN, INFINITY};
    for (size_t i = 0; i < CII_ELEMENTS(values); i++)
        cii_json_double(w, values[i]);
    cii_json_end_array(w);
    size_t size;
    _cleanup_free_ char *text = cii_json_take(w, &size);
    assert_string_equal(text,
                        "[0.0,0.1,-2.5,3.0,1e+300,4.94065645841247e-324,0.33333333333333331,1.2345678901234568e+17,"
                        "null,null]");
    _cleanup_json_ cii_json *root = NULL;
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    for (size_t i = 0; i < 8; i++)
        assert_true(cii_json_double_of(cii_json_at(root, i)) == values[i]);
    setlocale(LC_ALL, "C");
}

static void bad_bytes_become_replacement_characters(void **state) {
    (void)state;
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key(w, "k\xff");
    cii_json_string_n(w,
                      "\xff"
                      "a\0b\xe2\x82",
                      6);
    cii_json_end_object(w);
    assert_text(w, "{\"k\xef\xbf\xbd\":\"\xef\xbf\xbd"
                   "a\\u0000b\xef\xbf\xbd\xef\xbf\xbd\"}");
}

static void unfinished_document_gives_nothing(void **state) {
    (void)state;
    assert_null(cii_json_take(NULL, NULL));
    cii_json_writer *w = cii_json_writer_new();
    assert_null(cii_json_take(w, NULL));
    w = cii_json_writer_new();
    cii_json_begin_array(w);
    assert_null(cii_json_take(w, NULL));
    w = cii_json_writer_new();
    cii_json_begin_array(w);
    cii_json_end_array(w);
    cii_json_null(w); /* a second value */
    assert_null(cii_json_take(w, NULL));
    w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_int(w, 1); /* not a key */
    cii_json_end_object(w);
    assert_null(cii_json_take(w, NULL));
    w = cii_json_writer_new();
    cii_json_end_object(w); /* never begun */
    assert_null(cii_json_take(w, NULL));
}

static void without_a_writer_calls_do_nothing(void **state) {
    (void)state;
    cii_json_begin_object(NULL);
    cii_json_key_string(NULL, "a", "b");
    cii_json_key_int(NULL, "a", 1);
    cii_json_key_bool(NULL, "a", true);
    cii_json_double(NULL, 1);
    cii_json_uint(NULL, 1);
    cii_json_base64(NULL, "a", 1);
    cii_json_begin_array(NULL);
    cii_json_end_array(NULL);
    cii_json_end_object(NULL);
    cii_json_writer_free(NULL);
}

static ci_status write_document(void *user) {
    (void)user;
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    for (int i = 0; i < 20; i++)
        cii_json_key_string(w, "key \xff", "some text that makes it grow \xff");
    cii_json_key(w, "blob");
    cii_json_base64(w, "0123456789", 10);
    cii_json_end_object(w);
    _cleanup_free_ char *text = cii_json_take(w, NULL);
    return text ? CI_OK : CI_ERR_NOMEM;
}

static void writer_survives_lack_of_memory(void **state) {
    (void)state;
    assert_true(failmalloc_each(write_document, NULL) > 40);
}

/* --- reader ------------------------------------------------------------------------------------------------------- */

static cii_json *parse(const char *text) {
    cii_json *root = NULL;
    _cleanup_error_ ci_error *error = NULL;
    if (cii_json_parse(text, strlen(text), 0, &root, &error) < 0)
        fail_msg("%s: %s", text, ci_error_message(error));
    return root;
}

static void reads_every_kind_of_value(void **state) {
    (void)state;
    _cleanup_json_ cii_json *root =
        parse(" {\"n\": null, \"t\": true, \"f\": false, \"i\": -42, \"d\": 2.5, \"e\": 1e3,"
              "\"s\": \"a\\u0000b\\n\\u20ac\\ud83d\\ude00\", \"a\": [1, [2], {}], \"o\": {\"x\": []}}\n");
    assert_string_equal(cii_json_type_name(root), "object");
    assert_int_equal(cii_json_count(root), 9);
    assert_int_equal(cii_json_type_of(cii_json_get(root, "n")), CII_JSON_NULL);
    assert_string_equal(cii_json_type_name(cii_json_get(root, "n")), "null");
    assert_true(cii_json_bool_of(cii_json_get(root, "t")));
    assert_false(cii_json_bool_of(cii_json_get(root, "f")));
    assert_string_equal(cii_json_type_name(cii_json_get(root, "f")), "boolean");
    assert_int_equal(cii_json_int_of(cii_json_get(root, "i")), -42);
    assert_int_equal(cii_json_type_of(cii_json_get(root, "d")), CII_JSON_DOUBLE);
    assert_true(cii_json_double_of(cii_json_get(root, "d")) == 2.5);
    assert_int_equal(cii_json_int_of(cii_json_get(root, "d")), 2);
    assert_int_equal(cii_json_int_of(cii_json_get(root, "e")), 1000);
    assert_true(cii_json_double_of(cii_json_get(root, "i")) == -42);
    assert_string_equal(cii_json_type_name(cii_json_get(root, "i")), "number");
    size_t size;
    const char *text = cii_json_text_of(cii_json_get(root, "s"), &size);
    assert_int_equal(size, 11);
    assert_memory_equal(text, "a\0b\n\xe2\x82\xac\xf0\x9f\x98\x80", 12);
    const cii_json *list = cii_json_get(root, "a");
    assert_string_equal(cii_json_type_name(list), "array");
    assert_int_equal(cii_json_count(list), 3);
    assert_int_equal(cii_json_int_of(cii_json_at(cii_json_at(list, 1), 0)), 2);
    assert_null(cii_json_at(list, 3));
    assert_null(cii_json_key_at(list, 0, NULL));
    assert_string_equal(cii_json_key_at(root, 8, &size), "o");
    assert_int_equal(size, 1);
    assert_null(cii_json_get(root, "absent"));
    assert_null(cii_json_get(list, "n"));
}

static void absent_values_read_as_null(void **state) {
    (void)state;
    size_t size = 1;
    assert_int_equal(cii_json_type_of(NULL), CII_JSON_NULL);
    assert_string_equal(cii_json_type_name(NULL), "null");
    assert_null(cii_json_text_of(NULL, &size));
    assert_int_equal(size, 0);
    assert_int_equal(cii_json_int_of(NULL), 0);
    assert_true(cii_json_double_of(NULL) == 0);
    assert_false(cii_json_bool_of(NULL));
    assert_int_equal(cii_json_count(NULL), 0);
    assert_null(cii_json_get(NULL, "x"));
    cii_json_free(NULL);
}

static void last_of_equal_keys_wins(void **state) {
    (void)state;
    _cleanup_json_ cii_json *root = parse("{\"a\": 1, \"b\": 2, \"a\": 3, \"a\\u0000\": 4}");
    assert_int_equal(cii_json_int_of(cii_json_get(root, "a")), 3);
}

static void numbers_keep_their_kind(void **state) {
    (void)state;
    setlocale(LC_ALL, "de_DE.UTF-8");
    _cleanup_json_ cii_json *root = parse("[9223372036854775807, -9223372036854775808, 9223372036854775808, 1.0, 1E2, "
                                          "-1e300, 1e300, 0, -0]");
    assert_int_equal(cii_json_type_of(cii_json_at(root, 0)), CII_JSON_INT);
    assert_true(cii_json_int_of(cii_json_at(root, 0)) == INT64_MAX);
    assert_true(cii_json_int_of(cii_json_at(root, 1)) == INT64_MIN);
    assert_int_equal(cii_json_type_of(cii_json_at(root, 2)), CII_JSON_DOUBLE);
    assert_true(cii_json_int_of(cii_json_at(root, 2)) == INT64_MAX);
    assert_int_equal(cii_json_type_of(cii_json_at(root, 3)), CII_JSON_DOUBLE);
    assert_int_equal(cii_json_type_of(cii_json_at(root, 4)), CII_JSON_DOUBLE);
    assert_true(cii_json_int_of(cii_json_at(root, 5)) == INT64_MIN);
    assert_true(cii_json_int_of(cii_json_at(root, 6)) == INT64_MAX);
    setlocale(LC_ALL, "C");
}

static void errors_say_where_and_what_was_expected(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"", "line 1, column 1: premature EOF"},
        {" \n ", "line 2, column 2: premature EOF"},
        {"{\"a\":[1,2,", "line 1, column 11: premature EOF"},
        {"{\n \"a\" 1}", "line 2, column 6: object key and value must be separated by a colon"},
        {"[\"\xc3\xa9\" 2]", "line 1, column 6: after array element, I expect ',' or ']'"},
        {"{\"a\": 1 \"b\"}", "line 1, column 9: after key and value, inside map, I expect ',' or '}'"},
        {"{1:2}", "line 1, column 2: invalid object key (must be a string)"},
        {"[1,]", "line 1, column 4: unallowed token"},
        {"[1]]", "line 1, column 4: trailing garbage"},
        {"1 2", "line 1, column 3: trailing garbage"},
        {"[01]", "line 1, column 3"},
        {"[+1]", "line 1, column 2: invalid char"},
        {"['a']", "line 1, column 2: invalid char"},
        {"[tru]", "line 1, column 5: invalid string"},
        {"[nan]", "column 3: invalid string"},
        {"[1.]", "a digit is required after the decimal point"},
        {"[\"a\nb\"]", "line 1, column 4: invalid character inside string"},
        {"[\"\\x\"]", "line 1, column 4: inside a string"},
        {"[\"\\u12g4\"]", "invalid (non-hex) character"},
        {"\"abc", "line 1, column 5: premature EOF"},
        {"[\"\\", "line 1, column 4: premature EOF"},
        {"[\"\\u00", "line 1, column 7: premature EOF"},
        {"[1\"a\"]", "line 1, column 3: after array element"},
        {"[tru\"e\"]", "invalid string"},
        {"\"a\" \"b\"", "line 1, column 5: trailing garbage"},
        {"/* a */ 1", "line 1, column 1: probable comment found"},
        {"\xef\xbb\xbf[]", "line 1, column 1: invalid char"},
        {"[1e999]", "a number beyond the range of double"},
        {"[\"a\xff\"]", "line 1, column 4: a byte that is not UTF-8"},
        {"[\"\xed\xa0\x80\"]", "line 1, column 3: a byte that is not UTF-8"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        cii_json *root = NULL;
        FAILS(CI_ERR_INVALID, cases[i].message, cii_json_parse(cases[i].text, strlen(cases[i].text), 0, &root, &error));
        assert_null(root);
    }
}

static void nul_ends_nothing(void **state) {
    (void)state;
    cii_json *root = NULL;
    FAILS(CI_ERR_INVALID, "line 1, column 3", cii_json_parse("[]\0[]", 5, 0, &root, &error));
    FAILS(CI_ERR_INVALID, "column 3: invalid character inside string", cii_json_parse("\"a\0\"", 4, 0, &root, &error));
}

#define LONE "\xef\xbf\xbd"

static void lone_surrogates_become_replacement_characters(void **state) {
    (void)state;
    _cleanup_json_ cii_json *root = parse(
        "[\"x\\udc00y\", \"\\ud800\", {\"\\udfff\": 1}, \"\\udbff\\ud83d\\ude00\", \"\\ud800\\n\", \"\\ud800\\u0041\"]");
    static const char *const texts[] = {"x" LONE "y", LONE, NULL, LONE "\xf0\x9f\x98\x80", LONE "\n", LONE "A"};
    for (size_t i = 0; i < CII_ELEMENTS(texts); i++)
        if (texts[i])
            assert_string_equal(cii_json_text_of(cii_json_at(root, i), NULL), texts[i]);
    assert_string_equal(cii_json_key_at(cii_json_at(root, 2), 0, NULL), LONE);
}

static void every_escape_is_read(void **state) {
    (void)state;
    _cleanup_json_ cii_json *root = parse(
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\\u0001\\u007f\\u0080\\u07ff\\u0800\\uFFFF\\ud800\\udc00\\uDBFF\\uDFFF\"]");
    assert_string_equal(cii_json_text_of(cii_json_at(root, 0), NULL), "\"\\/\b\f\n\r\t");
    assert_string_equal(cii_json_text_of(cii_json_at(root, 1), NULL),
                        "\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
}

/* What is cut anywhere, or has another byte anywhere, is read or refused within its bytes: sanitizers look on. */
static void what_lies_in_place_is_read_in_its_bytes(void **state) {
    (void)state;
    static const char whole[] = "{\"a\\n\": [\"\\ud83d\\ude00\", 1], \"b\": \"x\\u00e9\"}";
    static const char others[] = "\"\\u\x01{";
    for (size_t size = 1; size < sizeof whole - 1; size++) {
        for (size_t i = 0; i < sizeof others; i++) {
            _cleanup_free_ char *text = malloc(size + 1);
            cii_json *root = NULL;
            memcpy(text, whole, size);
            text[size] = others[i];
            text = realloc(text, size + (i < sizeof others - 1)); /* the last time it is cut */
            if (cii_json_parse_in_place(text, size + (i < sizeof others - 1), 4, 9, &root) == CI_OK)
                fail_msg("%zu bytes are whole", size);
        }
    }
    _cleanup_free_ char *text = strdup(whole);
    _cleanup_json_ cii_json *root = NULL;
    assert_int_equal(cii_json_parse_in_place(text, sizeof whole - 1, 4, 5, &root), CI_OK);
    const char *told = cii_json_text_of(cii_json_get(root, "b"), NULL);
    assert_string_equal(told, "x\xc3\xa9");
    assert_true(told > text && told < text + sizeof whole);
}

static void depth_is_bounded(void **state) {
    (void)state;
    cii_json *root = NULL;
    FAILS(CI_ERR_LIMIT, "line 1, column 4: nested too deeply", cii_json_parse("[[[]]]", 6, 2, &root, &error));
    assert_int_equal(cii_json_parse("[[[]]]", 6, 3, &root, NULL), CI_OK);
    cii_json_free(root);
    _cleanup_buf_ cii_buf text = {0};
    for (int i = 0; i < 1000000; i++)
        cii_buf_append_str(&text, i % 2 ? "[" : "{\"a\":");
    FAILS(CI_ERR_LIMIT, "nested too deeply", cii_json_parse(text.data, text.size, 0, &root, &error));
    FAILS(CI_ERR_INVALID, "premature EOF", cii_json_parse(text.data, 6 * 1000, 10000, &root, &error));
}

static void counts_are_bounded(void **state) {
    (void)state;
    cii_json *root = NULL;
    char text[] = "[{\"a\":1},\"b\",null]";
    assert_int_equal(cii_json_parse_in_place(text, strlen(text), 4, 4, &root), CI_ERR_LIMIT);
    _cleanup_buf_ cii_buf many = {0};
    cii_buf_append_str(&many, "[0");
    for (int i = 2; i < 1 << 20; i++)
        cii_buf_append_str(&many, ",0");
    assert_int_equal(cii_json_parse(many.data, many.size, 0, &root, NULL),
                     CI_ERR_INVALID); /* its end alone is missing */
    cii_buf_append_str(&many, ",0]");
    FAILS(CI_ERR_LIMIT, "too many values", cii_json_parse(many.data, many.size, 0, &root, &error));
    assert_null(root);
}

static void sizes_are_bounded(void **state) {
    (void)state;
    cii_json *root = NULL;
    FAILS(CI_ERR_LIMIT, "bytes of JSON", cii_json_parse("[]", (size_t)2 << 30, 0, &root, &error));
    char digits[600];
    memset(digits, '1', sizeof(digits));
    FAILS(CI_ERR_LIMIT, "more than 511", cii_json_parse(digits, sizeof(digits), 0, &root, &error));
}

static void large_documents_are_read(void **state) {
    (void)state;
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_array(w);
    for (int i = 0; i < 100000; i++) {
        cii_json_begin_object(w);
        cii_json_key_int(w, "i", i);
        cii_json_key_string(w, "s", "some\ntext");
        cii_json_end_object(w);
    }
    _cleanup_buf_ cii_buf long_text = {0};
    for (int i = 0; i < 1000000; i++)
        cii_buf_append_str(&long_text, "\"\n");
    cii_json_string_n(w, long_text.data, long_text.size);
    cii_json_end_array(w);
    size_t size;
    _cleanup_free_ char *text = cii_json_take(w, &size);
    assert_non_null(text);
    _cleanup_json_ cii_json *root = NULL;
    assert_int_equal(cii_json_parse(text, size, 0, &root, NULL), CI_OK);
    assert_int_equal(cii_json_count(root), 100001);
    assert_int_equal(cii_json_int_of(cii_json_get(cii_json_at(root, 99999), "i")), 99999);
    const char *back = cii_json_text_of(cii_json_at(root, 100000), &size);
    assert_int_equal(size, long_text.size);
    assert_memory_equal(back, long_text.data, size);
}

static ci_status read_document(void *user) {
    _cleanup_json_ cii_json *root = NULL;
    _cleanup_error_ ci_error *error = NULL;
    ci_status status = cii_json_parse(user, strlen(user), 200, &root, &error);
    assert_int_equal(ci_error_status(error), status);
    assert_true(status == CI_OK || root == NULL);
    return status;
}

static void reader_survives_lack_of_memory(void **state) {
    (void)state;
    assert_true(failmalloc_each(read_document, (void *)"[1, \"a\\nb\", {\"k\": [true, null, 2.5]}, 1, 2, 3]") > 8);
    _cleanup_buf_ cii_buf text = {0}; /* deep and with a long escaped string */
    cii_buf_append_str(&text, "[\"\\n");
    for (int i = 0; i < 10000; i++)
        cii_buf_append_str(&text, "0123456789");
    cii_buf_append_str(&text, "\",");
    for (int i = 0; i < 190; i++)
        cii_buf_append_str(&text, "[");
    for (int i = 0; i < 191; i++)
        cii_buf_append_str(&text, "]");
    assert_true(failmalloc_each(read_document, text.data) > 190);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_kind_of_value),
        cmocka_unit_test(doubles_are_short_and_know_no_locale),
        cmocka_unit_test(bad_bytes_become_replacement_characters),
        cmocka_unit_test(unfinished_document_gives_nothing),
        cmocka_unit_test(without_a_writer_calls_do_nothing),
        cmocka_unit_test(writer_survives_lack_of_memory),
        cmocka_unit_test(reads_every_kind_of_value),
        cmocka_unit_test(absent_values_read_as_null),
        cmocka_unit_test(last_of_equal_keys_wins),
        cmocka_unit_test(numbers_keep_their_kind),
        cmocka_unit_test(errors_say_where_and_what_was_expected),
        cmocka_unit_test(nul_ends_nothing),
        cmocka_unit_test(lone_surrogates_become_replacement_characters),
        cmocka_unit_test(every_escape_is_read),
        cmocka_unit_test(what_lies_in_place_is_read_in_its_bytes),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(large_documents_are_read),
        cmocka_unit_test(reader_survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
