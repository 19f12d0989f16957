/* The sandbox object: a backend's table, complete or not. */
#include "../unit.h"
#include "sandbox/sandbox.h"

static int freed;

static void count_free(void *impl) {
    (void)impl;
    freed++;
}

static ci_status refuse_open(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                             ci_error **ret_error) {
    (void)impl;
    (void)request;
    (void)ret_session;
    (void)ret_op;
    return cii_error_set(ret_error, CI_ERR_NOTSUP, "test", "no sessions");
}

static void do_nothing(void *session) {
    (void)session;
}

static ci_status refuse_run(void *session, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                            ci_error **ret_error) {
    (void)session;
    (void)request;
    (void)sink;
    (void)ret_op;
    return cii_error_set(ret_error, CI_ERR_NOTSUP, "test", "no runs");
}

static ci_sandbox_ops least(void) {
    return (ci_sandbox_ops){.struct_size = sizeof(ci_sandbox_ops),
                            .name = "least",
                            .free = count_free,
                            .open = refuse_open,
                            .close = do_nothing,
                            .run = refuse_run};
}

static void what_is_required_is_asked_for_by_name(void **state) {
    (void)state;
    ci_sandbox *sandbox = NULL;
    ci_sandbox_ops ops = least();
    ops.run = NULL;
    FAILS(CI_ERR_INVALID, "run", ci_sandbox_new(&ops, NULL, &sandbox, &error));
    ops = least();
    ops.open = NULL;
    FAILS(CI_ERR_INVALID, "open", ci_sandbox_new(&ops, NULL, &sandbox, &error));
    ops = least();
    ops.required = 1;
    FAILS(CI_ERR_NOTSUP, "newer libci", ci_sandbox_new(&ops, NULL, &sandbox, &error));
    assert_null(sandbox);
}

static void missing_slots_refuse_or_do_nothing(void **state) {
    (void)state;
    ci_sandbox *sandbox = NULL;
    const ci_sandbox_ops ops = least();
    assert_int_equal(ci_sandbox_new(&ops, NULL, &sandbox, NULL), CI_OK);
    const ci_sandbox_ops *full = cii_sandbox_ops(sandbox);
    ci_op *op = NULL;
    assert_int_equal(full->capabilities(NULL, NULL), 0);
    assert_int_equal(full->activity(NULL), 0);
    full->shutdown(NULL);
    FAILS(CI_ERR_NOTSUP, "read files", full->file_get(NULL, "x", 0, 1, NULL, NULL, &op, &error));
    FAILS(CI_ERR_NOTSUP, "write files", full->file_put(NULL, "x", NULL, NULL, &op, &error));
    FAILS(CI_ERR_NOTSUP, "list folders", full->file_list(NULL, "x", NULL, NULL, &op, &error));
    FAILS(CI_ERR_NOTSUP, "what a file is", full->file_stat(NULL, "x", NULL, NULL, &op, &error));
    FAILS(CI_ERR_NOTSUP, "remove files", full->file_remove(NULL, "x", &op, &error));
    FAILS(CI_ERR_NOTSUP, "make folders", full->file_mkdir(NULL, "x", &op, &error));
    FAILS(CI_ERR_NOTSUP, "walk", full->walk(NULL, "x", 0, NULL, NULL, &op, &error));
    FAILS(CI_ERR_NOTSUP, "folder of this machine", full->host_dirs(NULL, NULL, &error));
    char *json = NULL;
    assert_int_equal(full->info(NULL, &json, NULL), CI_OK);
    assert_string_equal(json, "{}");
    free(json);
    assert_int_equal(ci_sandbox_prepare(sandbox, 0, NULL), CI_OK); /* nothing to prepare is success */
    ci_sandbox_free(sandbox);
}

static void an_older_backend_has_a_shorter_table(void **state) {
    (void)state;
    ci_sandbox *sandbox = NULL;
    ci_sandbox_ops ops = least();
    ops.struct_size = offsetof(ci_sandbox_ops, activity);
    ops.activity = (uint64_t(*)(void *))(uintptr_t)1; /* beyond its end: not to be looked at */
    assert_int_equal(ci_sandbox_new(&ops, NULL, &sandbox, NULL), CI_OK);
    assert_int_equal(cii_sandbox_ops(sandbox)->activity(NULL), 0);
    ci_sandbox_free(sandbox);
}

static void the_impl_is_freed_with_the_last_share(void **state) {
    (void)state;
    ci_sandbox *sandbox = NULL;
    const ci_sandbox_ops ops = least();
    freed = 0;
    assert_int_equal(ci_sandbox_new(&ops, NULL, &sandbox, NULL), CI_OK);
    assert_ptr_equal(ci_sandbox_ref(sandbox), sandbox);
    ci_sandbox_free(sandbox);
    assert_int_equal(freed, 0);
    ci_sandbox_free(sandbox);
    assert_int_equal(freed, 1);
    ci_sandbox_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_required_is_asked_for_by_name),
        cmocka_unit_test(missing_slots_refuse_or_do_nothing),
        cmocka_unit_test(an_older_backend_has_a_shorter_table),
        cmocka_unit_test(the_impl_is_freed_with_the_last_share),
    };
    return cmocka_run_group_tests_name("sandbox object", tests, NULL, NULL);
}
