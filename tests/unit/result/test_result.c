/* The object: limits, outcomes, exit codes, files, struct sizes. */
#include "support.h"

/* --- outcome ------------------------------------------------------------------------------------------------------ */

static void exit_codes_are_those_of_the_shell(void **state) {
    (void)state;
    static const struct {
        int32_t outcome, exit_code, signal_number, expected;
    } cases[] = {
        {CI_OUTCOME_OK, 0, 0, 0},
        {CI_OUTCOME_EXCEPTION, 0, 0, 1},
        {CI_OUTCOME_EXIT, 3, 0, 3},
        {CI_OUTCOME_EXIT, 255, 0, 255},
        {CI_OUTCOME_EXIT, -1, 0, 255},
        {CI_OUTCOME_SIGNAL, 0, 11, 139},
        {CI_OUTCOME_TIMEOUT, 0, 0, 124},
        {CI_OUTCOME_INTERRUPTED, 0, 0, 130},
        {CI_OUTCOME_MEMORY_LIMIT, 0, 9, 137},
        {CI_OUTCOME_LOST, 0, 0, 1},
        {CI_OUTCOME_TYPE_ERROR, 0, 0, 1},
        {CI_OUTCOME_FAILED, 0, 0, 1},
        {CI_OUTCOME_REFUSED, 0, 0, 1},
        {CI_OUTCOME_EXIT, 0, 0, 0},
        {CI_OUTCOME_EXIT, 256, 0, 0},
        {99, 0, 0, 1},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        ci_run_outcome outcome = {.struct_size = sizeof outcome,
                                  .outcome = cases[i].outcome,
                                  .exit_code = cases[i].exit_code,
                                  .signal_number = cases[i].signal_number};
        _cleanup_result_ ci_result *result = result_of(&outcome, NULL);
        assert_int_equal(ci_result_exit_code(result), cases[i].expected);
        assert_int_equal(ci_result_error_name(result) == NULL, ci_result_outcome(result) == CI_OUTCOME_OK);
        assert_int_equal(ci_result_error_message(result) == NULL, ci_result_outcome(result) == CI_OUTCOME_OK);
    }
}

static void an_exit_with_status_0_is_ok_and_an_unknown_outcome_lost(void **state) {
    (void)state;
    _cleanup_result_ ci_result *ok =
        result_of(&(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .outcome = CI_OUTCOME_EXIT}, NULL);
    assert_int_equal(ci_result_outcome(ok), CI_OUTCOME_OK);
    _cleanup_result_ ci_result *lost =
        result_of(&(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .outcome = -7}, NULL);
    assert_int_equal(ci_result_outcome(lost), CI_OUTCOME_LOST);
}

static void names_of_outcomes_and_file_statuses(void **state) {
    (void)state;
    assert_string_equal(ci_outcome_name(CI_OUTCOME_OK), "ok");
    assert_string_equal(ci_outcome_name(CI_OUTCOME_MEMORY_LIMIT), "memory-limit");
    assert_string_equal(ci_outcome_name(CI_OUTCOME_TYPE_ERROR), "type-error");
    assert_string_equal(ci_outcome_name(CI_OUTCOME_REFUSED + 1), "unknown");
    assert_string_equal(ci_outcome_name(-1), "unknown");
    assert_string_equal(ci_file_status_name(CI_FILE_SAVED), "saved");
    assert_string_equal(ci_file_status_name(CI_FILE_DELETED), "deleted");
    assert_string_equal(ci_file_status_name(CI_FILE_DELETED + 1), "unknown");
    assert_string_equal(ci_file_status_name(-1), "unknown");
}

static const ci_run_outcome raised = {
    .struct_size = sizeof(ci_run_outcome),
    .outcome = CI_OUTCOME_EXCEPTION,
    .error_name = "ZeroDivisionError",
    .error_message = "division by zero",
    .traceback = "Traceback …",
    .execution_us = 1500,
    .state_lost = 1,
    .task_id = 7,
    .task_running = 1,
};

static void what_the_backend_says_is_told(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = result_of(&raised, NULL);
    assert_string_equal(ci_result_error_name(result), "ZeroDivisionError");
    assert_string_equal(ci_result_error_message(result), "division by zero");
    assert_string_equal(ci_result_traceback(result), "Traceback …");
    assert_int_equal(ci_result_execution_us(result), 1500);
    assert_int_equal(ci_result_state_lost(result), 1);
    assert_int_equal(ci_result_task_id(result), 7);
    assert_int_equal(ci_result_task_running(result), 1);
}

static void an_outcome_of_an_older_backend_is_filled_with_zeros(void **state) {
    (void)state;
    ci_run_outcome older = raised;
    older.struct_size = offsetof(ci_run_outcome, execution_us);
    _cleanup_result_ ci_result *result = result_of(&older, NULL);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    assert_int_equal(ci_result_task_id(result), 7);
    assert_int_equal(ci_result_execution_us(result), 0);
}

static void signals_are_named(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = result_of(
        &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .outcome = CI_OUTCOME_SIGNAL, .signal_number = 11},
        NULL);
    assert_string_equal(ci_result_error_message(result), "killed by signal 11 (SIGSEGV, Segmentation fault)");
    _cleanup_result_ ci_result *odd = result_of(
        &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .outcome = CI_OUTCOME_SIGNAL, .signal_number = 126},
        NULL);
    assert_string_equal(ci_result_error_message(odd), "killed by signal 126");
}

static void overrides_replace_name_and_message_and_keep_the_traceback(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = result_of(&raised, NULL);
    assert_int_equal(cii_result_override_timeout(result, 2500), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_string_equal(ci_result_error_name(result), "Timeout");
    assert_string_equal(ci_result_error_message(result), "time-out after 2.5 s");
    assert_string_equal(ci_result_traceback(result), "Traceback …");
    assert_int_equal(cii_result_override_memory(result, UINT64_C(512) << 20), CI_OK);
    assert_string_equal(ci_result_error_message(result), "memory limit of 512 MiB reached");
    assert_int_equal(cii_result_override_memory(result, UINT64_C(1536) << 20), CI_OK);
    assert_string_equal(ci_result_error_message(result), "memory limit of 1.5 GiB reached");
    assert_int_equal(cii_result_override(result, CI_OUTCOME_INTERRUPTED, NULL), CI_OK);
    assert_string_equal(ci_result_error_message(result), "interrupted");
    assert_int_equal(cii_result_override(result, CI_OUTCOME_OK, NULL), CI_OK);
    assert_null(ci_result_error_name(result));
    assert_null(ci_result_error_message(result));
    assert_null(ci_result_traceback(result));
}

static void a_task_that_was_stopped_on_request_did_not_fail(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = result_of(&(ci_run_outcome){.struct_size = sizeof(ci_run_outcome),
                                                                     .outcome = CI_OUTCOME_SIGNAL,
                                                                     .signal_number = 9,
                                                                     .task_id = 3,
                                                                     .task_running = 1},
                                                   NULL);
    cii_result_set_task_stopped(result);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    assert_int_equal(ci_result_task_running(result), 0);
    assert_null(ci_result_error_message(result));
}

static void setters_of_the_session(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_RUN, NULL, &result), CI_OK);
    cii_result_set_state_lost(result, true);
    cii_result_set_execution_us(result, 42);
    cii_result_set_task(result, 5, true);
    assert_int_equal(ci_result_state_lost(result), 1);
    assert_int_equal(ci_result_execution_us(result), 42);
    assert_int_equal(ci_result_task_id(result), 5);
    assert_int_equal(ci_result_task_running(result), 1);
}

static void a_refusal_says_why(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = NULL;
    assert_int_equal(cii_result_refused("unknown tool \"x\"", &result), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_REFUSED);
    assert_string_equal(ci_result_error_message(result), "unknown tool \"x\"");
    ci_result_free(NULL);
}

/* --- value -------------------------------------------------------------------------------------------------------- */

static void values_are_text_whatever_the_guest_sends(void **state) {
    (void)state;
    size_t size;
    _cleanup_result_ ci_result *result = result_of(&(ci_run_outcome){.struct_size = sizeof(ci_run_outcome),
                                                                     .value = "a\xff\xe2\x82",
                                                                     .value_size = 4,
                                                                     .error_message = "b\xff",
                                                                     .outcome = CI_OUTCOME_EXCEPTION},
                                                   NULL);
    assert_string_equal(ci_result_value(result, &size), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_int_equal(size, 10);
    assert_string_equal(ci_result_error_message(result), "b\xef\xbf\xbd");
}

static void an_empty_value_is_not_no_value(void **state) {
    (void)state;
    size_t size = 9;
    _cleanup_result_ ci_result *result =
        result_of(&(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .value = ""}, NULL);
    assert_string_equal(ci_result_value(result, &size), "");
    assert_int_equal(size, 0);
}

static void a_long_value_is_cut_with_a_line_that_says_so(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = result_of(
        &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .value = "0123456789abcdef", .value_size = 16},
        &(cii_result_limits){.value_bytes = 4});
    assert_string_equal(ci_result_value(result, NULL), "01\n[... 12 bytes omitted; 4 of 16 kept ...]\nef");
}

static void a_value_that_the_backend_cut_says_so_too(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = result_of(
        &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .value = "0123", .value_size = 4, .value_total = 4000},
        NULL);
    assert_string_equal(ci_result_value(result, NULL), "0123\n[... 3996 bytes omitted; 4 of 4000 kept ...]\n");
}

/* --- items -------------------------------------------------------------------------------------------------------- */

static void feed_many_items(const ci_sink *sink) {
    for (int i = 0; i < 5; i++)
        sink->item(sink->user, "image/png", "12345", 5, (uint64_t)i);
    sink->done(sink->user, &(ci_run_outcome){.struct_size = sizeof(ci_run_outcome), .item_dropped_count = 2});
}

static void items_beyond_a_limit_are_counted(void **state) {
    (void)state;
    _cleanup_result_ ci_result *by_count = collect(&(cii_result_limits){.item_count = 3}, NULL, feed_many_items);
    assert_int_equal(ci_result_item_count(by_count), 3);
    assert_int_equal(ci_result_item_total(by_count), 7);
    _cleanup_result_ ci_result *by_size = collect(&(cii_result_limits){.item_bytes = 14}, NULL, feed_many_items);
    assert_int_equal(ci_result_item_count(by_size), 2);
    assert_int_equal(ci_result_item_total(by_size), 7);
}

static void feed_odd_items(const ci_sink *sink) {
    char long_type[400];
    memset(long_type, 'x', sizeof long_type - 1);
    long_type[sizeof long_type - 1] = '\0';
    sink->item(sink->user, long_type, "1", 1, 0);
    sink->item(sink->user, NULL, "2", 1, 0);
    sink->item(sink->user, "text/html", NULL, 0, 0);
    end_ok(sink);
}

static void odd_items_do_no_harm(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_odd_items);
    ci_item item = CI_ITEM_INIT;
    assert_int_equal(ci_result_item(result, 0, &item), CI_OK);
    assert_string_equal(item.mime_type, "application/octet-stream");
    assert_int_equal(ci_result_item(result, 1, &item), CI_OK);
    assert_string_equal(item.mime_type, "application/octet-stream");
    assert_int_equal(ci_result_item(result, 2, &item), CI_OK);
    assert_string_equal(item.data, "");
    assert_int_equal(ci_result_item(result, 3, &item), CI_ERR_INVALID);
}

static void items_are_filled_up_to_the_callers_size(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = collect(NULL, NULL, feed_many_items);
    ci_item item;
    for (size_t size = sizeof(size_t); size <= sizeof item; size++) {
        memset(&item, 0xaa, sizeof item);
        item.struct_size = size;
        assert_int_equal(ci_result_item(result, 1, &item), CI_OK);
        assert_int_equal(item.struct_size, size);
        for (size_t i = size; i < sizeof item; i++)
            assert_int_equal(((unsigned char *)&item)[i], 0xaa);
    }
    assert_int_equal(item.stdout_offset, 1);
    item.struct_size = 0;
    assert_int_equal(ci_result_item(result, 1, &item), CI_ERR_INVALID);
    struct {
        ci_item item;
        uint64_t newer;
    } larger = {.item = {.struct_size = sizeof larger}, .newer = 5};
    assert_int_equal(ci_result_item(result, 1, &larger.item), CI_OK);
    assert_int_equal(larger.item.data_size, 5);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void files_are_copied(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_PUSH, NULL, &result), CI_OK);
    char path[] = "a/ä.csv", key[] = "code-interpreter/a/ä.csv", data[] = "1,2";
    ci_file_info info = {.struct_size = sizeof info,
                         .path = path,
                         .key = key,
                         .data = data,
                         .data_size = 3,
                         .size_bytes = 3,
                         .kind = CI_KIND_REGULAR,
                         .status = CI_FILE_SAVED};
    assert_int_equal(cii_result_add_file(result, CI_FILES_MAIN, &info, NULL), CI_OK);
    memset(path, 'x', sizeof path - 1);
    memset(key, 'x', sizeof key - 1);
    memset(data, 'x', sizeof data - 1);

    ci_file_info got = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 1);
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &got), CI_OK);
    assert_string_equal(got.path, "a/ä.csv");
    assert_string_equal(got.key, "code-interpreter/a/ä.csv");
    assert_string_equal(got.data, "1,2");
    assert_int_equal(got.is_text, 1);
    assert_string_equal(got.mime_type, "text/csv");
    assert_null(got.error);
    assert_int_equal(got.status, CI_FILE_SAVED);
}

static void contents_can_be_handed_over(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_READ, NULL, &result), CI_OK);
    char *data = strdup("a\xff");
    ci_file_info info = {.struct_size = sizeof info, .path = "x", .data_size = 2, .kind = CI_KIND_REGULAR};
    assert_int_equal(cii_result_add_file(result, CI_FILES_MAIN, &info, data), CI_OK);
    ci_file_info got = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &got), CI_OK);
    assert_ptr_equal(got.data, data);
    assert_int_equal(got.is_text, 0);
}

static void lists_are_apart_and_bounds_are_checked(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_RUN, NULL, &result), CI_OK);
    for (int i = 0; i < 100; i++) {
        ci_file_info info = {.struct_size = sizeof info, .path = "p", .size_bytes = (uint64_t)i};
        assert_int_equal(cii_result_add_file(result, CI_FILES_PRELOAD, &info, NULL), CI_OK);
    }
    ci_file_info got = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 0);
    assert_int_equal(ci_result_file_count(result, CI_FILES_PRELOAD), 100);
    assert_int_equal(ci_result_file_count(result, 3), 0);
    assert_int_equal(ci_result_file_count(result, -1), 0);
    assert_int_equal(ci_result_file(result, CI_FILES_PRELOAD, 99, &got), CI_OK);
    assert_int_equal(got.size_bytes, 99);
    assert_int_equal(ci_result_file(result, CI_FILES_PRELOAD, 100, &got), CI_ERR_INVALID);
    assert_int_equal(ci_result_file(result, -1, 0, &got), CI_ERR_INVALID);
    got.struct_size = 0;
    assert_int_equal(ci_result_file(result, CI_FILES_PRELOAD, 0, &got), CI_ERR_INVALID);
}

static void files_are_filled_up_to_the_callers_size(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_RUN, NULL, &result), CI_OK);
    ci_file_info info = {.struct_size = offsetof(ci_file_info, status), .path = "p", .status = CI_FILE_FAILED};
    assert_int_equal(cii_result_add_file(result, CI_FILES_MAIN, &info, NULL), CI_OK);
    ci_file_info got;
    memset(&got, 0xaa, sizeof got);
    got.struct_size = offsetof(ci_file_info, key);
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &got), CI_OK);
    assert_string_equal(got.path, "p");
    assert_int_equal((unsigned char)((char *)&got.key)[0], 0xaa);
    got.struct_size = sizeof got;
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &got), CI_OK);
    assert_int_equal(got.status, CI_FILE_OK);
}

static void add(ci_result *result, const char *path, const char *error) {
    ci_file_info info = {
        .struct_size = sizeof info, .path = path, .error = error, .status = error ? CI_FILE_FAILED : CI_FILE_OK};
    assert_int_equal(cii_result_add_file(result, CI_FILES_MAIN, &info, NULL), CI_OK);
}

static void one_failed_file_makes_the_result_failed_and_is_named(void **state) {
    (void)state;
    _cleanup_result_ ci_result *one = NULL, *many = NULL, *good = NULL;
    assert_int_equal(cii_result_new(CII_RESULT_READ, NULL, &one), CI_OK);
    add(one, "a", "a: No such file"); /* as a backend says it: the path is told once */
    assert_int_equal(cii_result_settle(one), CI_OK);
    assert_int_equal(ci_result_outcome(one), CI_OUTCOME_FAILED);
    assert_string_equal(ci_result_error_message(one), "a: No such file");

    assert_int_equal(cii_result_new(CII_RESULT_READ, NULL, &many), CI_OK);
    const char *const paths[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < CII_ELEMENTS(paths); i++)
        add(many, paths[i], i == 1 ? NULL : "no");
    assert_int_equal(cii_result_settle(many), CI_OK);
    assert_string_equal(ci_result_error_message(many), "4 of 5 files failed: a: no; c: no; d: no; …");

    assert_int_equal(cii_result_new(CII_RESULT_READ, NULL, &good), CI_OK);
    add(good, "a", NULL);
    assert_int_equal(cii_result_settle(good), CI_OK);
    assert_int_equal(ci_result_outcome(good), CI_OUTCOME_OK);
}

static void a_failed_file_does_not_hide_an_exception(void **state) {
    (void)state;
    _cleanup_result_ ci_result *result = result_of(&raised, NULL);
    add(result, "chart.png", "not written");
    assert_int_equal(cii_result_settle(result), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_EXCEPTION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_are_those_of_the_shell),
        cmocka_unit_test(an_exit_with_status_0_is_ok_and_an_unknown_outcome_lost),
        cmocka_unit_test(names_of_outcomes_and_file_statuses),
        cmocka_unit_test(what_the_backend_says_is_told),
        cmocka_unit_test(an_outcome_of_an_older_backend_is_filled_with_zeros),
        cmocka_unit_test(signals_are_named),
        cmocka_unit_test(overrides_replace_name_and_message_and_keep_the_traceback),
        cmocka_unit_test(a_task_that_was_stopped_on_request_did_not_fail),
        cmocka_unit_test(setters_of_the_session),
        cmocka_unit_test(a_refusal_says_why),
        cmocka_unit_test(values_are_text_whatever_the_guest_sends),
        cmocka_unit_test(an_empty_value_is_not_no_value),
        cmocka_unit_test(a_long_value_is_cut_with_a_line_that_says_so),
        cmocka_unit_test(a_value_that_the_backend_cut_says_so_too),
        cmocka_unit_test(items_beyond_a_limit_are_counted),
        cmocka_unit_test(odd_items_do_no_harm),
        cmocka_unit_test(items_are_filled_up_to_the_callers_size),
        cmocka_unit_test(files_are_copied),
        cmocka_unit_test(contents_can_be_handed_over),
        cmocka_unit_test(lists_are_apart_and_bounds_are_checked),
        cmocka_unit_test(files_are_filled_up_to_the_callers_size),
        cmocka_unit_test(one_failed_file_makes_the_result_failed_and_is_named),
        cmocka_unit_test(a_failed_file_does_not_hide_an_exception),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
