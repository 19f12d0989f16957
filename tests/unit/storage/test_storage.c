/* The storage object: what a table must have, what it may leave out, and who counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drive.h"

static unsigned freed;

static void count_free(void *impl) {
    (void)impl;
    freed++;
}

static ci_status no_get(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                        ci_op_write_cb write_bytes, ci_object_cb object, void *user, ci_op **ret_op,
                        ci_error **ret_error) {
    (void)impl, (void)key, (void)if_etag, (void)offset, (void)length, (void)write_bytes, (void)object, (void)user;
    (void)ret_op, (void)ret_error;
    return CI_ERR_NOTFOUND;
}

static ci_status no_put(void *impl, const ci_put_request *request, ci_op_read_cb read_bytes, ci_object_cb object,
                        void *user, ci_op **ret_op, ci_error **ret_error) {
    (void)impl, (void)request, (void)read_bytes, (void)object, (void)user, (void)ret_op, (void)ret_error;
    return CI_ERR_PERMISSION;
}

static ci_status no_list(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb object,
                         void *user, ci_op **ret_op, ci_error **ret_error) {
    (void)impl, (void)prefix, (void)after, (void)max, (void)object, (void)user, (void)ret_op, (void)ret_error;
    return CI_ERR_IO;
}

static ci_status no_stat(void *impl, const char *key, ci_object_cb object, void *user, ci_op **ret_op,
                         ci_error **ret_error) {
    (void)impl, (void)key, (void)object, (void)user, (void)ret_op, (void)ret_error;
    return CI_ERR_NOTFOUND;
}

static ci_status no_remove(void *impl, const char *key, ci_op **ret_op, ci_error **ret_error) {
    (void)impl, (void)key, (void)ret_op, (void)ret_error;
    return CI_ERR_NOTFOUND;
}

static ci_storage_ops least(void) {
    return (ci_storage_ops){.struct_size = sizeof(ci_storage_ops),
                            .name = "least",
                            .get = no_get,
                            .put = no_put,
                            .list = no_list,
                            .stat = no_stat,
                            .remove = no_remove};
}

static void required_slots_must_be_there(void **state) {
    (void)state;
    static const size_t slots[] = {offsetof(ci_storage_ops, get),    offsetof(ci_storage_ops, put),
                                   offsetof(ci_storage_ops, list),   offsetof(ci_storage_ops, stat),
                                   offsetof(ci_storage_ops, remove), offsetof(ci_storage_ops, name)};
    for (size_t i = 0; i < CII_ELEMENTS(slots); i++) {
        ci_storage_ops ops = least();
        ci_storage *storage = NULL;
        ci_error *error = NULL;
        memset((char *)&ops + slots[i], 0, sizeof(void *));
        assert_int_equal(ci_storage_new(&ops, NULL, &storage, &error), CI_ERR_INVALID);
        assert_null(storage);
        assert_non_null(strstr(ci_error_message(error), "required"));
        ci_error_free(error);
    }
}

static void missing_slots_get_defaults(void **state) {
    (void)state;
    ci_storage_ops table = least();
    ci_storage *storage;
    void *lock = &table;
    char *text = NULL;
    table.struct_size = offsetof(ci_storage_ops, lock); /* of an older version */
    assert_int_equal(ci_storage_new(&table, NULL, &storage, NULL), CI_OK);
    table.get = NULL; /* the copy is the library's own */
    const ci_storage_ops *ops = cii_storage_ops(storage);
    assert_ptr_equal(ops->get, no_get);
    assert_int_equal(ops->lock(NULL, "a", &lock, NULL), CI_OK);
    ops->unlock(NULL, lock);
    assert_int_equal(cii_storage_describe(storage, &text), CI_OK);
    assert_string_equal(text, "least");
    free(text);
    ci_storage_free(storage);
}

static void what_a_newer_table_requires_is_refused_and_what_it_adds_ignored(void **state) {
    (void)state;
    struct {
        ci_storage_ops ops;
        void *more;
    } newer = {least(), &newer};
    ci_storage *storage = NULL;
    newer.ops.struct_size = sizeof newer;
    assert_int_equal(ci_storage_new(&newer.ops, NULL, &storage, NULL), CI_OK);
    ci_storage_free(storage);
    storage = NULL;
    newer.ops.required = 1;
    assert_int_equal(ci_storage_new(&newer.ops, NULL, &storage, NULL), CI_ERR_NOTSUP);
    newer.ops.struct_size = 0;
    assert_int_equal(ci_storage_new(&newer.ops, NULL, &storage, NULL), CI_ERR_INVALID);
    assert_int_equal(ci_storage_new(NULL, NULL, &storage, NULL), CI_ERR_INVALID);
    assert_null(storage);
}

static void the_last_share_frees_the_impl(void **state) {
    (void)state;
    ci_storage_ops ops = least();
    ci_storage *storage;
    ops.free = count_free;
    freed = 0;
    assert_int_equal(ci_storage_new(&ops, NULL, &storage, NULL), CI_OK);
    assert_ptr_equal(ci_storage_ref(storage), storage);
    ci_storage_free(storage);
    assert_int_equal(freed, 0);
    assert_int_equal(cii_storage_check(storage, NULL), CI_OK);
    ci_storage_free(storage);
    assert_int_equal(freed, 1);
    ci_storage_free(NULL);
    assert_null(ci_storage_ref(NULL));
    assert_int_equal(cii_storage_check(NULL, NULL), CI_ERR_INVALID);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(required_slots_must_be_there),
        cmocka_unit_test(missing_slots_get_defaults),
        cmocka_unit_test(what_a_newer_table_requires_is_refused_and_what_it_adds_ignored),
        cmocka_unit_test(the_last_share_frees_the_impl),
    };
    return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
