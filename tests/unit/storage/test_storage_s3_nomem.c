/* The S3 storage without memory, at every allocation of libci's own: CI_ERR_NOMEM, and nothing is left behind. */
#include "../failmalloc.h"
#include "../net/server.h"
#include "drive.h"

#define MIB ((size_t)1 << 20)

typedef struct scenario {
    size_t size; /* of what is put */
    const char *data;
} scenario;

static int32_t ignore(void *user, const void *data, size_t size) {
    (void)user;
    (void)data;
    (void)size;
    return 0;
}

static int32_t ignore_object(void *user, const ci_object *object) {
    (void)user;
    (void)object;
    return 0;
}

static ci_status finish(ci_status started, ci_op *const *op) {
    return started < 0 ? started : drive(*op, NULL);
}

static ci_status use(ci_storage *s, const scenario *sc) {
    const ci_storage_ops *ops = cii_storage_ops(s);
    void *impl = cii_storage_impl(s), *lock = NULL;
    ci_op *op = NULL;
    source from = {.data = sc->data, .size = sc->size};
    ci_status status = finish(ops->put(impl, &PUT_REQUEST("k"), read_source, NULL, &from, &op, NULL), &op);
    if (status == CI_OK)
        status = finish(ops->get(impl, "k", NULL, 0, UINT64_MAX, ignore, ignore_object, NULL, &op, NULL), &op);
    if (status == CI_OK)
        status = finish(ops->list(impl, "", "b", 10, ignore_object, NULL, &op, NULL), &op);
    if (status == CI_OK || status == CI_ERR_NOTSUP) /* there is a key in the list that can be no name */
        status = finish(ops->remove(impl, "k", &op, NULL), &op);
    if (status == CI_OK)
        status = ops->lock(impl, "x", &lock, NULL);
    if (status == CI_OK)
        ops->unlock(impl, lock);
    return status;
}

static ci_status run(void *user) {
    ci_storage *s = NULL;
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    options.endpoint = http;
    options.access_key_id = "AKIDEXAMPLE";
    options.secret_access_key = "secret";
    options.part_bytes = 5 * MIB;
    options.no_environment = 1;
    ci_status status = ci_storage_s3_new("s3://nomem/prefix", &options, &s, NULL);
    if (status == CI_OK)
        status = use(s, user);
    ci_storage_free(s);
    return status;
}

static void set_rules(void) {
    static const char rules[] =
        "999999 GET /nomem?* text-<ListBucketResult><Contents><Key>prefix%2Fc<%2FKey><Size>1<%2FSize><%2FContents>"
        "<Contents><Key>prefix%2Fd%2F%2Fe<%2FKey><Size>1<%2FSize><%2FContents><%2FListBucketResult>\n"
        "999999 POST /nomem/prefix/k?uploads=* text-<R><UploadId>u1<%2FUploadId><%2FR>\n"
        "999999 POST /nomem/prefix/k?uploadId=* body/text-<R><ETag>%22x-2%22<%2FETag><%2FR>\n"
        "999999 GET /nomem/prefix/k* header-ETag=%22abc%22/bytes-5\n"
        "999999 PUT /nomem/prefix/k* body/header-ETag=%22abc%22\n";
    server_rules(rules);
}

static void small_objects(void **state) {
    (void)state;
    scenario sc = {5, "12345"};
    set_rules();
    assert_in_range(failmalloc_each(run, &sc), 40, 1000);
}

static void large_objects(void **state) {
    (void)state;
    _cleanup_free_ char *data = calloc(1, 6 * MIB);
    scenario sc = {6 * MIB, data};
    set_rules();
    assert_in_range(failmalloc_each(run, &sc), 40, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_objects),
        cmocka_unit_test(large_objects),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
