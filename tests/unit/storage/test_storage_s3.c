/* What the S3 storage does beyond the contract, on the real server that CI_TEST_S3 names: uploads in parts and their ends,
 * names that are none, regions, keys and certificates, and processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/str.h"
#include "drive.h"
#include "s3_server.h"

#define MIB ((size_t)1 << 20)
#define PART (5 * MIB)

static char *data; /* 24 MiB that differ everywhere */

static ci_storage *open_storage(const char *url, const ci_storage_s3_options *options) {
    ci_storage *storage = NULL;
    ci_error *error = NULL;
    if (ci_storage_s3_new(url, options, &storage, &error) < 0)
        fail_msg("%s: %s", url, ci_error_message(error));
    return storage;
}

/* A storage in small parts, below a prefix of its own, and that prefix. */
static ci_storage *new_storage(char ret_url[64]) {
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    options.part_bytes = PART;
    s3_new_url(ret_url);
    return open_storage(ret_url, &options);
}

/* Starts a stat and drives it; its message in *ret_text. */
static ci_status stat_saying(ci_storage *s, const char *key, char **ret_text) {
    ci_error *error = NULL;
    ci_op *op = NULL;
    ci_status status = cii_storage_ops(s)->stat(cii_storage_impl(s), key, see, NULL, &op, &error);
    if (status == CI_OK)
        status = drive(op, &error);
    *ret_text = strdup(error ? ci_error_message(error) : "");
    ci_error_free(error);
    return status;
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

static void hash_of(size_t size, uint8_t ret_hash[32]) {
    _cleanup_sha256_ cii_sha256 *hash = cii_sha256_new();
    assert_true(cii_sha256_update(hash, data, size) && cii_sha256_final(hash, ret_hash));
}

static void large_objects_go_in_parts_and_come_back(void **state) {
    (void)state;
    static const struct {
        size_t size;
        const char *etag_end;
    } cases[] = {{PART - 1, NULL}, {PART, NULL},         {PART + 1, "-2"},
                 {2 * PART, "-2"}, {2 * PART + 1, "-3"}, {24 * MIB, "-5"}};
    char url[64];
    ci_storage *s = new_storage(url);
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        seen object;
        uint8_t hash[32];
        ci_put_request request = PUT_REQUEST("large");
        _cleanup_buf_ cii_buf back = {0};
        assert_int_equal(put(s, "large", data, cases[i].size, &object), CI_OK);
        assert_int_equal(object.has_sha256, !cases[i].etag_end); /* of several parts only where it was announced */
        assert_int_equal(object.size_bytes, cases[i].size);
        assert_true(cases[i].etag_end ? cii_str_ends(object.etag, cases[i].etag_end) : !strchr(object.etag, '-'));
        hash_of(cases[i].size, hash);
        request.sha256 = hash;
        assert_int_equal(put_if(s, &request, data, cases[i].size, &object), CI_OK);
        assert_true(object.has_sha256);
        assert_memory_equal(object.sha256, hash, sizeof hash);
        assert_int_equal(get(s, "large", &back), CI_OK);
        assert_int_equal(back.size, cases[i].size);
        assert_memory_equal(back.data, data, back.size);
    }
    assert_int_equal(s3_count_uploads(), 0);
    ci_storage_free(s);
}

static void a_source_may_pause_in_every_part(void **state) {
    (void)state;
    char url[64];
    _cleanup_buf_ cii_buf back = {0};
    ci_storage *s = new_storage(url);
    source from = {.data = data, .size = 12 * MIB, .piece = 40000, .pauses = 1};
    assert_int_equal(drive(start_put(s, &PUT_REQUEST("k"), &from), NULL), CI_OK);
    assert_int_equal(get(s, "k", &back), CI_OK);
    assert_int_equal(back.size, 12 * MIB);
    assert_memory_equal(back.data, data, back.size);
    ci_storage_free(s);
}

static void an_upload_that_fails_is_aborted(void **state) {
    (void)state;
    char url[64];
    _cleanup_buf_ cii_buf keys = {0};
    const uint8_t other_hash[32] = {1};
    ci_storage *s = new_storage(url);
    source from = {.data = data, .size = 24 * MIB, .fail_after = 17 * MIB};
    assert_int_equal(drive(start_put(s, &PUT_REQUEST("k"), &from), NULL), CI_ERR_CANCELLED);
    assert_int_equal(s3_count_uploads(), 0);
    ci_put_request request = PUT_REQUEST("k");
    request.sha256 = other_hash;
    assert_int_equal(put_if(s, &request, data, 12 * MIB, NULL), CI_ERR_INVALID);
    request.sha256 = NULL;
    request.size_bytes = 11 * MIB;
    assert_int_equal(put_if(s, &request, data, 12 * MIB, NULL), CI_ERR_INVALID);
    assert_int_equal(s3_count_uploads(), 0);
    assert_int_equal(list(s, "", NULL, 10, &keys, NULL), CI_OK);
    assert_string_equal(keys.data, "");
    ci_storage_free(s);
}

/* A put that is freed when its upload has begun. */
static void give_up_an_upload(ci_storage *s) {
    source from = {.data = data, .size = 24 * MIB};
    ci_op *op = start_put(s, &PUT_REQUEST("k"), &from);
    while (from.at < 16 * MIB) /* more than can be read before a part is on its way */
        assert_true(op->ops->process(op, NULL) >= 0);
    assert_int_equal(s3_count_uploads(), 1);
    op->ops->free(op);
}

static void an_upload_that_is_given_up_is_aborted_by_the_next_operation(void **state) {
    (void)state;
    char url[64];
    ci_storage *s = new_storage(url);
    give_up_an_upload(s);
    assert_int_equal(stat_object(s, "k", NULL), CI_ERR_NOTFOUND);
    assert_int_equal(s3_count_uploads(), 0);
    ci_storage_free(s);
}

static void an_upload_that_is_given_up_is_aborted_at_the_storages_end(void **state) {
    (void)state;
    char url[64];
    ci_storage *s = new_storage(url);
    give_up_an_upload(s);
    ci_storage_free(s);
    assert_int_equal(s3_count_uploads(), 0);
}

static void conditions_hold_for_large_objects_too(void **state) {
    (void)state;
    char url[64];
    seen first;
    ci_storage *s = new_storage(url);
    ci_put_request request = PUT_REQUEST("k");
    request.if_absent = 1;
    assert_int_equal(put_if(s, &request, data, 6 * MIB, &first), CI_OK);
    assert_int_equal(put_if(s, &request, data, 7 * MIB, NULL), CI_ERR_CONDITION);
    request.if_absent = 0;
    request.if_etag = first.etag;
    assert_int_equal(put_if(s, &request, data, 8 * MIB, NULL), CI_OK);
    assert_int_equal(put_if(s, &request, data, 9 * MIB, NULL), CI_ERR_CONDITION);
    assert_int_equal(s3_count_uploads(), 0);
    ci_storage_free(s);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static void what_can_be_no_name_is_left_out_and_told(void **state) {
    (void)state;
    static const char *const keys[] = {"a", "b/", "b/../c", "b/d", "e//f", "g\x01h", "i"};
    char url[64];
    ci_storage *s = new_storage(url);
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++) {
        char path[128];
        _cleanup_buf_ cii_buf body = {0};
        snprintf(path, sizeof path, "/%s/%s", url + 5, keys[i]);
        assert_int_equal(s3_ask("PUT", path, NULL, NULL, &body), 200);
    }
    _cleanup_buf_ cii_buf got = {0};
    assert_int_equal(list(s, "", NULL, 1000, &got, NULL), CI_ERR_NOTSUP);
    assert_string_equal(got.data, "a b/d i ");
    _cleanup_buf_ cii_buf below = {0};
    assert_int_equal(list(s, "i", NULL, 1000, &below, NULL), CI_OK);
    assert_string_equal(below.data, "i ");
    /* Page by page: at the end too, with what earlier pages met. */
    ci_op *op = NULL;
    ci_error *error = NULL;
    seen object = {0};
    const char *after[] = {NULL, "a", "b/d", "i"};
    for (size_t i = 0; i < CII_ELEMENTS(after); i++) {
        assert_int_equal(cii_storage_ops(s)->list(cii_storage_impl(s), "", after[i], 1, see, &object, &op, NULL),
                         CI_OK);
        assert_int_equal(drive(op, &error), i < 3 ? CI_OK : CI_ERR_NOTSUP);
    }
    assert_int_equal(object.count, 3);
    assert_non_null(strstr(ci_error_message(error), "\"b/../c\""));
    assert_non_null(strstr(ci_error_message(error), "2 more"));
    ci_error_free(error);
    ci_storage_free(s);
}

static void a_long_list_goes_on_over_the_servers_pages(void **state) {
    (void)state;
    enum { COUNT = 1003 };
    char url[64];
    static char keys[COUNT][16];
    static source sources[COUNT];
    static ci_op *ops[COUNT];
    ci_storage *s = new_storage(url);
    for (size_t from = 0; from < COUNT; from += 20) {
        size_t end = CII_MIN(from + 20, (size_t)COUNT);
        for (size_t i = from; i < end; i++) {
            snprintf(keys[i], sizeof keys[i], "k%04zu+ %%", i);
            sources[i] = (source){.data = "", .size = 0};
            ops[i] = start_put(s, &PUT_REQUEST(keys[i]), &sources[i]);
        }
        for (size_t i = from; i < end; i++)
            assert_int_equal(drive(ops[i], NULL), CI_OK);
    }
    _cleanup_buf_ cii_buf got = {0};
    unsigned count = 0;
    assert_int_equal(list(s, "k", NULL, 5000, &got, &count), CI_OK);
    assert_int_equal(count, COUNT);
    assert_true(cii_str_starts(got.data, "k0000+ % k0001+ % "));
    assert_true(cii_str_ends(got.data, " k1002+ % "));
    ci_storage_free(s);
}

/* --- keys, regions, addresses ------------------------------------------------------------------------------------- */

static void wrong_keys_are_told_and_never_quoted(void **state) {
    (void)state;
    char url[64];
    ci_error *error = NULL;
    ci_op *op = NULL;
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    options.access_key_id = getenv("AWS_ACCESS_KEY_ID");
    options.secret_access_key = "not-the-secret";
    s3_new_url(url);
    ci_storage *s = open_storage(url, &options);
    assert_int_equal(cii_storage_ops(s)->list(cii_storage_impl(s), "", NULL, 10, see, NULL, &op, NULL), CI_OK);
    assert_int_equal(drive(op, &error), CI_ERR_PERMISSION);
    assert_true(cii_str_starts(ci_error_message(error), "S3: list \"\": SignatureDoesNotMatch: "));
    assert_non_null(strstr(ci_error_message(error), "(403"));
    assert_null(strstr(ci_error_message(error), options.secret_access_key));
    assert_string_equal(ci_error_domain(error), "s3");
    assert_int_equal(ci_error_http_status(error), 403);
    assert_true(strlen(ci_error_hint(error)) > 0);
    ci_error_free(error);
    ci_storage_free(s);
}

static void a_bucket_that_is_missing_is_told(void **state) {
    (void)state;
    ci_error *error = NULL;
    ci_op *op = NULL;
    ci_storage *s = open_storage("s3://no-such-bucket/x", NULL);
    source from = {.data = "1", .size = 1};
    op = start_put(s, &PUT_REQUEST("k"), &from);
    assert_int_equal(drive(op, &error), CI_ERR_NOTFOUND);
    assert_true(cii_str_starts(ci_error_message(error), "S3: put \"k\": NoSuchBucket"));
    ci_error_free(error);
    ci_storage_free(s);
}

static void a_wrong_region_is_put_right(void **state) {
    (void)state;
    char url[64];
    _cleanup_free_ char *text = NULL;
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    options.region = "eu-north-1";
    options.attempts = 1;
    s3_new_url(url);
    ci_storage *s = open_storage(url, &options);
    assert_int_equal(put_text(s, "k", "1"), CI_OK);
    assert_int_equal(stat_saying(s, "k", &text), CI_OK);
    ci_storage_free(s);
}

static void a_certificate_must_be_trusted(void **state) {
    (void)state;
    const char *endpoint = getenv("CI_TEST_S3_TLS"), *ca = getenv("CI_TEST_S3_CA");
    char url[64];
    _cleanup_free_ char *refused = NULL;
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    if (!endpoint || !*endpoint)
        return; /* Swift has none */
    s3_new_url(url);
    options.endpoint = endpoint;
    options.ca_file = ca;
    ci_storage *s = open_storage(url, &options);
    assert_int_equal(put(s, "k", data, 9 * MIB, NULL), CI_OK);
    ci_storage_free(s);
    options.ca_file = NULL;
    s = open_storage(url, &options);
    assert_int_equal(stat_saying(s, "k", &refused), CI_ERR_PERMISSION);
    assert_non_null(strstr(refused, "its certificate is not trusted"));
    ci_storage_free(s);
}

static void a_certificate_must_be_of_the_host(void **state) {
    (void)state;
    const char *endpoint = getenv("CI_TEST_S3_TLS");
    char url[64];
    _cleanup_free_ char *refused = NULL;
    _cleanup_free_ char *other = NULL;
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    if (!endpoint || !*endpoint)
        return; /* Swift has none */
    other = cii_str_printf("https://not.this.localhost%s", strrchr(endpoint, ':'));
    s3_new_url(url);
    options.endpoint = other;
    options.ca_file = getenv("CI_TEST_S3_CA");
    ci_storage *s = open_storage(url, &options);
    assert_int_equal(stat_saying(s, "k", &refused), CI_ERR_PERMISSION);
    assert_non_null(strstr(refused, "its certificate is not trusted"));
    ci_storage_free(s);
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

/* The parent's connections are not touched, nor is what it is uploading. */
static int use_in_child(ci_storage *parents, const char *url) {
    ci_storage *s = NULL;
    ci_op *op = NULL;
    ci_error *error = NULL;
    source from = {.data = "child", .size = 5};
    if (cii_storage_ops(parents)->stat(cii_storage_impl(parents), "k", see, NULL, &op, NULL) != CI_ERR_FORKED)
        return 1;
    ci_storage_free(parents);
    if (ci_storage_s3_new(url, NULL, &s, NULL) < 0)
        return 2;
    if (cii_storage_ops(s)->put(cii_storage_impl(s), &PUT_REQUEST("of-the-child"), read_source, NULL, &from, &op,
                                &error) < 0 ||
        drive(op, &error) < 0)
        return 3;
    ci_storage_free(s);
    return 0;
}

static void a_child_has_storages_of_its_own(void **state) {
    (void)state;
    char url[64];
    int status = 0;
    _cleanup_buf_ cii_buf back = {0};
    ci_storage *s = new_storage(url);
    source from = {.data = data, .size = 24 * MIB};
    ci_op *op = start_put(s, &PUT_REQUEST("k"), &from);
    while (from.at < 12 * MIB)
        assert_true(op->ops->process(op, NULL) >= 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_in_child(s, url));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(drive(op, NULL), CI_OK);
    assert_int_equal(get(s, "k", &back), CI_OK);
    assert_int_equal(back.size, 24 * MIB);
    assert_memory_equal(back.data, data, back.size);
    assert_int_equal(stat_object(s, "of-the-child", NULL), CI_OK);
    ci_storage_free(s);
}

static void a_bucket_may_be_in_the_hosts_name(void **state) {
    (void)state;
    const char *domain = getenv("CI_TEST_S3_DOMAIN"), *endpoint = getenv("AWS_ENDPOINT_URL_S3");
    char url[64];
    _cleanup_free_ char *text = NULL;
    _cleanup_free_ char *by_name = NULL;
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    if (!domain || !*domain)
        return; /* Swift answers to none */
    by_name = cii_str_printf("http://%s%s", domain, strrchr(endpoint, ':'));
    s3_new_url(url);
    options.endpoint = by_name;
    options.addressing = CI_S3_ADDRESSING_VIRTUAL;
    ci_storage *s = open_storage(url, &options), *by_path = open_storage(url, NULL);
    assert_int_equal(put_text(s, "odd + key/\xc3\xa9", "1"), CI_OK);
    assert_int_equal(stat_saying(by_path, "odd + key/\xc3\xa9", &text), CI_OK);
    ci_storage_free(s);
    ci_storage_free(by_path);
}

static int set_up(void **state) {
    (void)state;
    uint32_t x = 1;
    s3_make_bucket();
    data = malloc(24 * MIB);
    for (size_t i = 0; data && i < 24 * MIB; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (char)(x >> 24);
    }
    return data ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    free(data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_objects_go_in_parts_and_come_back),
        cmocka_unit_test(a_source_may_pause_in_every_part),
        cmocka_unit_test(an_upload_that_fails_is_aborted),
        cmocka_unit_test(an_upload_that_is_given_up_is_aborted_by_the_next_operation),
        cmocka_unit_test(an_upload_that_is_given_up_is_aborted_at_the_storages_end),
        cmocka_unit_test(conditions_hold_for_large_objects_too),
        cmocka_unit_test(what_can_be_no_name_is_left_out_and_told),
        cmocka_unit_test(a_long_list_goes_on_over_the_servers_pages),
        cmocka_unit_test(wrong_keys_are_told_and_never_quoted),
        cmocka_unit_test(a_bucket_that_is_missing_is_told),
        cmocka_unit_test(a_wrong_region_is_put_right),
        cmocka_unit_test(a_certificate_must_be_trusted),
        cmocka_unit_test(a_certificate_must_be_of_the_host),
        cmocka_unit_test(a_child_has_storages_of_its_own),
        cmocka_unit_test(a_bucket_may_be_in_the_hosts_name),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
