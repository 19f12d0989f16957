/* Base64: RFC 4648's vectors, and what is refused. */
#include "unit.h"

#include "base/base64.h"
#include "failmalloc.h"

static const struct {
    const char *plain;
    const char *encoded;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xbf\xff", "+/+//w=="},
};

/* The same, in memory of just that size. */
static ci_status decode_in_place(const char *text, size_t size, cii_buf *ret_decoded) {
    _cleanup_free_ char *copy = malloc(size + (size == 0));
    size_t decoded_size;
    memcpy(copy, text, size);
    ci_status status = cii_base64_decode_in_place(copy, size, &decoded_size);
    return status < 0 ? status : cii_buf_append(ret_decoded, copy, decoded_size);
}

static void vectors_go_both_ways(void **state) {
    (void)state;
    for (size_t i = 0; i < CII_ELEMENTS(vectors); i++) {
        _cleanup_buf_ cii_buf encoded = {0}, decoded = {0};
        assert_int_equal(cii_base64_encode(&encoded, vectors[i].plain, strlen(vectors[i].plain)), CI_OK);
        assert_string_equal(encoded.data, vectors[i].encoded);
        assert_int_equal(cii_base64_decode(&decoded, encoded.data, encoded.size, NULL), CI_OK);
        assert_int_equal(decoded.size, strlen(vectors[i].plain));
        assert_string_equal(decoded.data, vectors[i].plain);
    }
}

static void all_bytes_of_all_lengths_come_back(void **state) {
    (void)state;
    unsigned char bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 7);
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        _cleanup_buf_ cii_buf encoded = {0}, decoded = {0};
        cii_base64_encode(&encoded, bytes, size);
        assert_int_equal(cii_base64_decode(&decoded, encoded.data, encoded.size, NULL), CI_OK);
        assert_int_equal(decoded.size, size);
        assert_memory_equal(decoded.data, bytes, size);
        assert_int_equal(decode_in_place(encoded.data, encoded.size, &decoded), CI_OK);
        assert_int_equal(decoded.size, 2 * size);
        assert_memory_equal(decoded.data + size, bytes, size);
    }
}

static void white_space_is_skipped(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf decoded = {0};
    const char text[] = " Zm9v\r\n\tYg= = \n";
    assert_int_equal(cii_base64_decode(&decoded, text, strlen(text), NULL), CI_OK);
    assert_string_equal(decoded.data, "foob");
    assert_int_equal(decode_in_place(text, strlen(text), &decoded), CI_OK);
    assert_string_equal(decoded.data, "foobfoob");
}

static void what_does_not_belong_is_refused_and_changes_nothing(void **state) {
    (void)state;
    static const char *const bad[] = {
        "Z",     "Zg",    "Zg=",      "Zm8",  "Zm9vY", "=",    "==",    "====",         "Z===", "Zg===",
        "Zm8==", "Zm9v=", "Zg==Zg==", "Zg=a", "Zm9-",  "Zm9_", "Zm9v!", "Zm9v\xc3\xa9", "Zh==", "Zm9=",
    };
    _cleanup_buf_ cii_buf decoded = {0};
    cii_buf_append_str(&decoded, "before");
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        FAILS(CI_ERR_INVALID, "base64, byte ", cii_base64_decode(&decoded, bad[i], strlen(bad[i]), &error));
        assert_int_equal(decode_in_place(bad[i], strlen(bad[i]), &decoded), CI_ERR_INVALID);
        assert_string_equal(decoded.data, "before");
        assert_int_equal(decoded.size, 6);
    }
    FAILS(CI_ERR_INVALID, "byte 3: a character that does not belong", cii_base64_decode(&decoded, "Zm9\0", 4, &error));
}

static void maximum_of_the_buffer_holds(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf;
    cii_buf_init(&buf, 4);
    assert_int_equal(cii_base64_encode(&buf, "foob", 4), CI_ERR_LIMIT);
    assert_int_equal(cii_base64_encode(&buf, "foo", SIZE_MAX), CI_ERR_LIMIT);
    assert_int_equal(cii_base64_encode(&buf, "foo", 3), CI_OK);
    cii_buf_clear(&buf);
    FAILS(CI_ERR_LIMIT, "no room for 5 bytes", cii_base64_decode(&buf, "Zm9vYmE=", 8, &error));
    assert_int_equal(cii_base64_decode(&buf, "Zm9v\n\n\nYg==", 11, NULL), CI_OK);
    assert_string_equal(buf.data, "foob");
}

static void lack_of_memory_is_reported(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf = {0};
    failmalloc_at(1);
    assert_int_equal(cii_base64_encode(&buf, "foo", 3), CI_ERR_NOMEM);
    failmalloc_at(1);
    assert_int_equal(cii_base64_decode(&buf, "Zm9v", 4, NULL), CI_ERR_NOMEM);
    failmalloc_stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_go_both_ways),
        cmocka_unit_test(all_bytes_of_all_lengths_come_back),
        cmocka_unit_test(white_space_is_skipped),
        cmocka_unit_test(what_does_not_belong_is_refused_and_changes_nothing),
        cmocka_unit_test(maximum_of_the_buffer_holds),
        cmocka_unit_test(lack_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
