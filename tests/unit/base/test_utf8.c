/* UTF-8: what is valid, and where it may be cut. */
#include "unit.h"

#include "base/utf8.h"

#define VALID(text) cii_utf8_valid(text, sizeof(text) - 1)

static void well_formed_characters_are_valid(void **state) {
    (void)state;
    assert_true(VALID(""));
    assert_true(VALID("plain ASCII of more than eight bytes\n\t\x7f"));
    assert_true(VALID("a\0b"));
    assert_true(VALID(
        "\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
    assert_true(VALID("1234567\xc3\xa4"
                      "1234567\xe2\x82\xac\xf0\x9f\x98\x80"
                      "12345678"));
}

static void malformed_bytes_are_not(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "\xbf",             /* likewise */
        "\xc0\x80",         /* overlong NUL */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* surrogate D800 */
        "\xed\xbf\xbf",     /* surrogate DFFF */
        "\xf4\x90\x80\x80", /* U+110000 */
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
        "\xc3",             /* cut short */
        "\xe2\x82",         /* cut short */
        "\xf0\x9f\x98",     /* cut short */
        "\xc3(",            /* no continuation */
        "\xe2\x28\xa1",     /* no continuation */
        "\xe2\x82\x28",     /* no continuation */
        "\xf0\x9f\x98\x28", /* no continuation */
    };
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        assert_false(cii_utf8_valid(bad[i], strlen(bad[i])));
        assert_int_equal(cii_utf8_char(bad[i], strlen(bad[i])), 0);
        for (size_t before = 1; before < 20; before++) { /* at every distance from the eight-byte steps */
            char text[64];
            int size = snprintf(text, sizeof(text), "%.*s%s", (int)before, "abcdefghijklmnopqrst", bad[i]);
            assert_false(cii_utf8_valid(text, (size_t)size));
            size = snprintf(text, sizeof(text), "%.*s%sabcdefghij", (int)before, "abcdefghijklmnopqrst", bad[i]);
            assert_false(cii_utf8_valid(text, (size_t)size));
        }
    }
}

static void every_code_point_is_judged_as_rfc_3629_does(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x120000; c++) {
        unsigned char text[4];
        size_t size = 1;
        if (c < 0x80) {
            text[0] = (unsigned char)c;
        } else if (c < 0x800) {
            text[0] = (unsigned char)(0xc0 | c >> 6);
            size = 2;
        } else if (c < 0x10000) {
            text[0] = (unsigned char)(0xe0 | c >> 12);
            size = 3;
        } else {
            text[0] = (unsigned char)(0xf0 | c >> 18);
            size = 4;
        }
        for (size_t i = 1; i < size; i++)
            text[i] = (unsigned char)(0x80 | (c >> 6 * (size - 1 - i) & 0x3f));
        bool wanted = c < 0xd800 || (c > 0xdfff && c < 0x110000);
        if (cii_utf8_char(text, size) != (wanted ? size : 0))
            fail_msg("U+%04X", c);
    }
}

static void text_has_no_nul(void **state) {
    (void)state;
    assert_true(cii_utf8_is_text("", 0));
    assert_true(cii_utf8_is_text("caf\xc3\xa9 and more and more", 22));
    assert_false(cii_utf8_is_text("caf\xff", 4));
    for (size_t at = 0; at < 20; at++) {
        char text[20];
        memset(text, 'x', sizeof(text));
        text[at] = '\0';
        assert_false(cii_utf8_is_text(text, sizeof(text)));
        assert_true(cii_utf8_valid(text, sizeof(text)));
        text[at] = '\x01';
        assert_true(cii_utf8_is_text(text, sizeof(text)));
    }
}

static void tail_is_what_may_still_become_a_character(void **state) {
    (void)state;
    assert_int_equal(cii_utf8_incomplete_tail("", 0), 0);
    assert_int_equal(cii_utf8_incomplete_tail("abc", 3), 0);
    assert_int_equal(cii_utf8_incomplete_tail("\xf0\x9f\x98\x80", 4), 0);
    assert_int_equal(cii_utf8_incomplete_tail("ab\xc3", 3), 1);
    assert_int_equal(cii_utf8_incomplete_tail("a\xe2\x82", 3), 2);
    assert_int_equal(cii_utf8_incomplete_tail("a\xf0\x9f\x98", 4), 3);
    assert_int_equal(cii_utf8_incomplete_tail("\xf0", 1), 1);
    assert_int_equal(cii_utf8_incomplete_tail("\x80\x80\x80\x80", 4), 0);
    assert_int_equal(cii_utf8_incomplete_tail("\x80", 1), 0);
    assert_int_equal(cii_utf8_incomplete_tail("a\xff", 2), 0);        /* never becomes one */
    assert_int_equal(cii_utf8_incomplete_tail("a\xed\xa0", 3), 0);    /* surrogate: nor does this */
    assert_int_equal(cii_utf8_incomplete_tail("a\xe0\x80", 3), 0);    /* overlong: nor this */
    assert_int_equal(cii_utf8_incomplete_tail("\xc3\xa9\xa9", 3), 0); /* one continuation too many */
}

static void head_is_what_continues(void **state) {
    (void)state;
    assert_int_equal(cii_utf8_continuation_head("", 0), 0);
    assert_int_equal(cii_utf8_continuation_head("a", 1), 0);
    assert_int_equal(cii_utf8_continuation_head("\x98\x80"
                                                "a",
                                                3),
                     2);
    assert_int_equal(cii_utf8_continuation_head("\x80\x80\x80\x80", 4), 3);
    assert_int_equal(cii_utf8_continuation_head("\xc3\xa9", 2), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_characters_are_valid),
        cmocka_unit_test(malformed_bytes_are_not),
        cmocka_unit_test(every_code_point_is_judged_as_rfc_3629_does),
        cmocka_unit_test(text_has_no_nul),
        cmocka_unit_test(tail_is_what_may_still_become_a_character),
        cmocka_unit_test(head_is_what_continues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
