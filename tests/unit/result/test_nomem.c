/* Every allocation fails once: the call says CI_ERR_NOMEM, nothing crashes, and what is there can be freed. */
#include "support.h"

#include "../failmalloc.h"

static void feed(const ci_sink *sink) {
    static char block[300];
    memset(block, 'x', sizeof block);
    sink->output(sink->user, CI_STREAM_STDOUT, block, sizeof block);
    sink->output(sink->user, CI_STREAM_STDERR, "e", 1);
    sink->background(sink->user, "b", 1);
    sink->item(sink->user, "image/png", "12", 2, 0);
    sink->item(sink->user, "text/html", "12", 2, 0);
    for (int32_t port = 1; port <= 3; port++)
        sink->refusal(sink->user, &(ci_refusal){.struct_size = sizeof(ci_refusal), .name = "n", .port = port});
    sink->done(sink->user, &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome),
                                             .outcome = CI_OUTCOME_TYPE_ERROR,
                                             .value = "v\xff",
                                             .value_size = 2,
                                             .value_total = 9,
                                             .error_name = "E",
                                             .error_message = "m",
                                             .traceback = "t",
                                             .diagnostics = "[{\"message\":\"m\"}]",
                                             .replaced = (const char *const[]){"six", NULL}});
}

static ci_status run(ci_result **ret_result) {
    static const cii_result_limits limits = {.stream_bytes = 100};
    _cleanup_result_ ci_result *result = NULL;
    _cleanup_collector_ cii_collector *collector = NULL;
    ci_status status = cii_result_new(CII_RESULT_RUN, &limits, &result);
    if (status != CI_OK)
        return status;
    status = cii_collector_new(result, NULL, &collector);
    if (status != CI_OK)
        return status;
    (void)TAKE_PTR(result);
    feed(cii_collector_sink(collector));
    return cii_collector_take(collector, ret_result, NULL);
}

static ci_status work(void *user) {
    (void)user;
    _cleanup_result_ ci_result *result = NULL, *refused = NULL;
    _cleanup_free_ char *json = NULL;
    ci_file_info info = {
        .struct_size = sizeof info, .path = "p", .error = "e", .status = CI_FILE_FAILED, .data = "d", .data_size = 1};
    ci_status status = run(&result);
    for (int i = 0; i < 20 && status == CI_OK; i++)
        status = cii_result_add_file(result, CI_FILES_MAIN, &info, NULL);
    if (status == CI_OK)
        status = cii_result_override(result, CI_OUTCOME_OK, NULL);
    if (status == CI_OK)
        status = cii_result_settle(result);
    if (status == CI_OK)
        status = cii_result_override_timeout(result, 1);
    if (status == CI_OK)
        status = ci_result_json(result, &json, NULL);
    return status == CI_OK ? cii_result_refused("no", &refused) : status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    assert_true(failmalloc_each(work, NULL) > 40);
}

static void data_that_was_handed_over_is_freed_when_memory_is_short(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_READ, NULL, &result), CI_OK);
    for (size_t n = 1; n <= 2; n++) {
        char *data = strdup("data");
        ci_file_info info = {.struct_size = sizeof info, .path = "p", .data_size = 4};
        failmalloc_at(n);
        assert_int_equal(cii_result_add_file(result, CI_FILES_MAIN, &info, data), CI_ERR_NOMEM);
        assert_true(failmalloc_stop());
    }
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(data_that_was_handed_over_is_freed_when_memory_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
