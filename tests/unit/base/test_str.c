/* Strings, lists, identifiers, the nearest name, sizes. */
#include "unit.h"

#include "base/clock.h"
#include "base/str.h"
#include "failmalloc.h"

static void prefixes_and_suffixes(void **state) {
    (void)state;
    assert_true(cii_str_starts("uploads/a", "uploads/"));
    assert_true(cii_str_starts("a", ""));
    assert_false(cii_str_starts("up", "uploads/"));
    assert_true(cii_str_ends("a.zip", ".zip"));
    assert_true(cii_str_ends(".zip", ".zip"));
    assert_true(cii_str_ends("a", ""));
    assert_false(cii_str_ends("zip", ".zip"));
    _cleanup_free_ char *text = cii_str_printf("%s-%d", "a", 1);
    assert_string_equal(text, "a-1");
}

static ci_status copy_list(void *user) {
    _cleanup_strv_ char **copy = cii_strv_copy(user);
    return copy ? CI_OK : CI_ERR_NOMEM;
}

static void lists_are_copied_whole_or_not_at_all(void **state) {
    (void)state;
    const char *const list[] = {"A=1", "", "B=2", NULL};
    _cleanup_strv_ char **copy = cii_strv_copy(list);
    assert_int_equal(cii_strv_count((const char *const *)copy), 3);
    assert_string_equal(copy[2], "B=2");
    assert_ptr_not_equal(copy[0], list[0]);
    _cleanup_strv_ char **empty = cii_strv_copy(NULL);
    assert_non_null(empty);
    assert_null(empty[0]);
    assert_int_equal(cii_strv_count(NULL), 0);
    cii_strv_free(NULL);
    assert_int_equal(failmalloc_each(copy_list, (void *)list), 4);
}

static void ids_are_1_to_64_plain_characters(void **state) {
    (void)state;
    char id[80];
    memset(id, 'a', sizeof(id));
    id[64] = '\0';
    assert_true(cii_id_valid(id));
    id[64] = 'a';
    id[65] = '\0';
    assert_false(cii_id_valid(id));
    assert_true(cii_id_valid("A"));
    assert_true(cii_id_valid("user_1-B"));
    static const char *const bad[] = {"", " ", "a b", "a/b", "..", "a.b", "\xc3\xa9", "a\n", "{user}"};
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++)
        assert_false(cii_id_valid(bad[i]));
}

static void random_ids_are_valid_and_differ(void **state) {
    (void)state;
    char ids[200][27];
    for (size_t i = 0; i < CII_ELEMENTS(ids); i++) {
        assert_int_equal(cii_id_random(ids[i]), CI_OK);
        assert_int_equal(strlen(ids[i]), 26);
        assert_int_equal(strspn(ids[i], "0123456789abcdefghijklmnopqrstuvwxyz"), 26);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ids[i], ids[j]);
    }
}

static void nearest_name_is_what_was_meant_or_nothing(void **state) {
    (void)state;
    static const char *const names[] = {"execute_code", "execute_command", "file_operations", "path", "code", "x"};
    size_t count = CII_ELEMENTS(names);
    assert_string_equal(cii_nearest("execute_cod", names, count), "execute_code");
    assert_string_equal(cii_nearest("Execute_Code", names, count), "execute_code");
    assert_string_equal(cii_nearest("executecommand", names, count), "execute_command");
    assert_string_equal(cii_nearest("file_operation", names, count), "file_operations");
    assert_string_equal(cii_nearest("paths", names, count), "path");
    assert_string_equal(cii_nearest("ocde", names, count), "code");
    assert_string_equal(cii_nearest("cdoe", names, count), "code");
    assert_null(cii_nearest("browser", names, count));
    assert_null(cii_nearest("", names, count));
    assert_null(cii_nearest("y", names, count)); /* one letter changed of one is not near */
    assert_null(cii_nearest("code", names, 0));
    char long_name[200];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_null(cii_nearest(long_name, names, count));
}

static void hex_is_lower_case(void **state) {
    (void)state;
    char hex[9];
    cii_hex("\x00\x7f\x80\xff", 4, hex);
    assert_string_equal(hex, "007f80ff");
    cii_hex("", 0, hex);
    assert_string_equal(hex, "");
}

static void sizes_are_powers_of_1024(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"64K", 64 << 10},
        {"64k", 64 << 10},
        {"64KB", 64 << 10},
        {"64KiB", 64 << 10},
        {"2GiB", UINT64_C(2) << 30},
        {"1.5G", UINT64_C(3) << 29},
        {"0.5m", 1 << 19},
        {"1.25K", 1280},
        {"15E", UINT64_C(15) << 60},
        {"3T", UINT64_C(3) << 40},
        {"1P", UINT64_C(1) << 50},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < CII_ELEMENTS(good); i++) {
        uint64_t bytes = 1;
        if (!cii_parse_size(good[i].text, &bytes) || bytes != good[i].bytes)
            fail_msg("%s: %llu", good[i].text, (unsigned long long)bytes);
    }
    static const char *const bad[] = {"",
                                      "K",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1 K",
                                      "1.5",
                                      "1.K",
                                      ".5K",
                                      "1X",
                                      "1Ki",
                                      "1iB",
                                      "1KK",
                                      "1BB",
                                      "0x10",
                                      "1e3",
                                      "16E",
                                      "1,5K",
                                      "18446744073709551616",
                                      "99999999999999999999999999"};
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        uint64_t bytes = 7;
        if (cii_parse_size(bad[i], &bytes))
            fail_msg("%s is taken for %llu", bad[i], (unsigned long long)bytes);
        assert_int_equal(bytes, 7);
    }
}

static void clock_goes_forward(void **state) {
    (void)state;
    int64_t us = cii_clock_us(), ms = cii_clock_ms();
    assert_in_range(ms, us / 1000, cii_clock_us() / 1000); /* of the same clock */
    usleep(2000);
    assert_true(cii_clock_us() >= us + 2000);
    assert_true(cii_clock_ms() >= ms + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_and_suffixes),
        cmocka_unit_test(lists_are_copied_whole_or_not_at_all),
        cmocka_unit_test(ids_are_1_to_64_plain_characters),
        cmocka_unit_test(random_ids_are_valid_and_differ),
        cmocka_unit_test(nearest_name_is_what_was_meant_or_nothing),
        cmocka_unit_test(hex_is_lower_case),
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
