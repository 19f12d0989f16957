/* Paths as text, keys, MIME types. */
#include "unit.h"

#include "base/path.h"
#include "failmalloc.h"

static void paths_come_to_one_form(void **state) {
    (void)state;
    static const struct {
        const char *path;
        const char *wanted;
    } cases[] = {
        {"", "."},
        {".", "."},
        {"./", "."},
        {"..", "."},
        {"../..", "."},
        {"/", "/"},
        {"//", "/"},
        {"/..", "/"},
        {"/../../etc/passwd", "/etc/passwd"},
        {"../../etc/passwd", "etc/passwd"},
        {"a", "a"},
        {"a/", "a"},
        {"a//b", "a/b"},
        {"./a/./b/.", "a/b"},
        {"a/..", "."},
        {"a/b/..", "a"},
        {"a/b/../..", "."},
        {"a/b/../../..", "."},
        {"a/../../b", "b"},
        {"/a/b/../c/", "/a/c"},
        {"/a/..", "/"},
        {"...", "..."},
        {"..a/b..", "..a/b.."},
        {".hidden", ".hidden"},
        {"a b/\xff\n", "a b/\xff\n"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_free_ char *path = NULL;
        assert_int_equal(cii_path_normalize(cases[i].path, &path, NULL), CI_OK);
        assert_string_equal(path, cases[i].wanted);
    }
    char *path = NULL;
    failmalloc_at(1);
    FAILS(CI_ERR_NOMEM, "out of memory", cii_path_normalize("a", &path, &error));
    failmalloc_stop();
    assert_null(path);
}

static void paths_that_climb_above_their_start_are_told(void **state) {
    (void)state;
    static const char *const climbing[] = {"..", "../a", "./../a", "a/../..", "a/../../a", "a//../../b", "../../a/b"};
    static const char *const staying[] = {"", ".", "a/..", "a/b/../../c", "...", "..a/b", "/..", "/a/../../b"};
    for (size_t i = 0; i < CII_ELEMENTS(climbing); i++)
        assert_true(cii_path_climbs(climbing[i]));
    for (size_t i = 0; i < CII_ELEMENTS(staying); i++)
        assert_false(cii_path_climbs(staying[i]));
}

static void keys_lead_nowhere_else(void **state) {
    (void)state;
    static const char *const good[] = {"a", "a/b.c", "code-interpreter/\xc3\xa9 x", "...", "a/..b", ".a/b."};
    for (size_t i = 0; i < CII_ELEMENTS(good); i++)
        assert_int_equal(cii_key_check(good[i], false, "name", NULL), CI_OK);
    static const struct {
        const char *key;
        const char *fault;
    } bad[] = {
        {"", "empty part"},    {"/", "empty part"},
        {"/a", "empty part"},  {"a//b", "empty part"},
        {"a/", "empty part"},  {".", "\".\" or \"..\""},
        {"..", "\"..\""},      {"a/..", "\"..\""},
        {"../a", "\"..\""},    {"a/./b", "\"..\""},
        {"a\nb", "control"},   {"a\x7f", "control"},
        {"\xff", "not UTF-8"}, {"\xc0\xae\xc0\xae/a", "not UTF-8"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++)
        FAILS(CI_ERR_INVALID, bad[i].fault, cii_key_check(bad[i].key, false, "name", &error));
    FAILS(CI_ERR_INVALID, "uploads_prefix \"a//\": an empty part",
          cii_key_check("a//", true, "uploads_prefix", &error));
}

static void prefixes_may_be_empty_or_end_in_a_slash(void **state) {
    (void)state;
    assert_int_equal(cii_key_check("", true, "prefix", NULL), CI_OK);
    assert_int_equal(cii_key_check("a/", true, "prefix", NULL), CI_OK);
    assert_int_equal(cii_key_check("a/b", true, "prefix", NULL), CI_OK);
    FAILS(CI_ERR_INVALID, "empty part", cii_key_check("/", true, "prefix", &error));
    FAILS(CI_ERR_INVALID, "\"..\"", cii_key_check("../", true, "prefix", &error));
}

static void keys_have_at_most_1024_bytes(void **state) {
    (void)state;
    char key[1026];
    memset(key, 'a', sizeof(key));
    key[1024] = '\0';
    assert_int_equal(cii_key_check(key, false, "name", NULL), CI_OK);
    key[1024] = 'a';
    key[1025] = '\0';
    FAILS(CI_ERR_INVALID, "longer than 1,024 bytes", cii_key_check(key, false, "name", &error));
}

static void base_is_the_last_part(void **state) {
    (void)state;
    assert_string_equal(cii_path_base("a/b/c.txt"), "c.txt");
    assert_string_equal(cii_path_base("c.txt"), "c.txt");
    assert_string_equal(cii_path_base("a/"), "");
}

#define MIME(name, head) cii_mime_type(name, head, sizeof(head) - 1)

static void mime_type_is_told_by_content_first(void **state) {
    (void)state;
    assert_string_equal(MIME("chart.dat", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "image/png");
    assert_string_equal(MIME("a", "\xff\xd8\xff\xe0"), "image/jpeg");
    assert_string_equal(MIME("a.txt", "RIFF\x24\0\0\0WEBPVP8 "), "image/webp");
    assert_string_equal(MIME("paper", "%PDF-1.7\n"), "application/pdf");
    assert_string_equal(MIME("a.zip", "PK\3\4\x14\0\0"), "application/zip");
    assert_string_equal(MIME("a.XLSX", "PK\3\4\x14\0\0"),
                        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
    assert_string_equal(MIME("a.csv", "PK\3\4\x14\0\0"), "application/zip");
    assert_string_equal(MIME("a.xls", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "application/vnd.ms-excel");
    char tar[512] = "name";
    memcpy(tar + 257, "ustar", 5);
    assert_string_equal(cii_mime_type("a", tar, sizeof(tar)), "application/x-tar");
    assert_string_equal(cii_mime_type("a", tar, 260), "application/octet-stream");
}

static void mime_type_is_told_by_the_name_where_the_content_fits(void **state) {
    (void)state;
    assert_string_equal(MIME("dir.png/data.csv", "a,b\n1,2\n"), "text/csv");
    assert_string_equal(MIME("a.JSON", "{}"), "application/json");
    assert_string_equal(MIME("a.pkl", "\x80\x04\x95\0"), "application/x-pickle");
    assert_string_equal(MIME("fake.png", "not an image"), "text/plain");
    assert_string_equal(MIME("fake.csv", "\0\1\2\xff"), "application/octet-stream");
    assert_string_equal(MIME("fake.docx", "\0\1\2\xff"), "application/octet-stream");
    assert_string_equal(MIME("BZhello", "BZhello is no archive"), "text/plain");
    assert_string_equal(MIME("Makefile", "all:\n"), "text/plain");
    assert_string_equal(MIME("cut.md", "caf\xc3"), "text/markdown");
    assert_string_equal(MIME("x", "\xff\xfe"), "application/octet-stream");
    assert_string_equal(cii_mime_type("a.png", NULL, 0), "image/png");
    assert_string_equal(cii_mime_type("empty", "", 0), "text/plain");
    assert_string_equal(cii_mime_type(NULL, "x", 1), "text/plain");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_come_to_one_form),
        cmocka_unit_test(paths_that_climb_above_their_start_are_told),
        cmocka_unit_test(keys_lead_nowhere_else),
        cmocka_unit_test(prefixes_may_be_empty_or_end_in_a_slash),
        cmocka_unit_test(keys_have_at_most_1024_bytes),
        cmocka_unit_test(base_is_the_last_part),
        cmocka_unit_test(mime_type_is_told_by_content_first),
        cmocka_unit_test(mime_type_is_told_by_the_name_where_the_content_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
