/* SHA-256: FIPS 180-4's vectors. And the version. */
#include "unit.h"

#include <ci/version.h>

#include "base/hash.h"
#include "base/str.h"

static void assert_hash(cii_sha256 *hash, const char *wanted) {
    uint8_t digest[32];
    char hex[65];
    assert_true(cii_sha256_final(hash, digest));
    cii_hex(digest, sizeof(digest), hex);
    assert_string_equal(hex, wanted);
}

static void vectors_hold_and_one_object_serves_many(void **state) {
    (void)state;
    _cleanup_sha256_ cii_sha256 *hash = cii_sha256_new();
    assert_non_null(hash);
    assert_hash(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_true(cii_sha256_update(hash, "abc", 3));
    assert_hash(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (int i = 0; i < 1000000; i += 50)
        assert_true(cii_sha256_update(hash, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 50));
    assert_hash(hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    cii_sha256_free(NULL);
}

static void version_is_the_headers_own(void **state) {
    (void)state;
    char text[64];
    snprintf(text, sizeof(text), "libci %d.%d.%d (", CI_VERSION_MAJOR, CI_VERSION_MINOR, CI_VERSION_PATCH);
    assert_int_equal(ci_version_number(), CI_VERSION_NUMBER);
    assert_true(cii_str_starts(ci_version_string(), text));
    assert_non_null(strstr(ci_version_string(), "yajl 2."));
    assert_non_null(strstr(ci_version_string(), "libarchive 3."));
    assert_non_null(strstr(ci_version_string(), "libcurl "));
    ci_free(strdup("x"));
    ci_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_hold_and_one_object_serves_many),
        cmocka_unit_test(version_is_the_headers_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
