/* Sessions whose storage keeps them waiting: order, parallel transfers, deadlines and cancels in the middle of them; and
 * a push that trusts the backend's word that nothing can have been written. */
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "fixture.h"
#include "sandbox/sandbox.h"

#define STEP_MS 5

static int set_up(void **state) {
    (void)state;
    return fixture_set_up(STEP_MS);
}

/* --- opening ------------------------------------------------------------------------------------------------------- */

static void opening_brings_uploads_and_never_blocks(void **state) {
    (void)state;
    make_uploads(5);
    hold();
    ci_session_options options = usual();
    ci_call *call = NULL;
    assert_int_equal(ci_session_open_start(&options, &call, NULL), CI_OK);
    assert_true(beat_until_done(call) > 5); /* it came back rather than wait for what only we bring about */
    assert_int_equal(ci_call_take_session(call, &session, NULL), CI_OK);
    ci_call_free(call);
    hold_no_more();
    assert_prints("ls | wc -l | tr -d ' '", "5\n");
}

static void large_uploads_arrive_whole(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "head -c 3000000 /dev/urandom > %s/uploads/big", folder);
    assert_int_equal(system(command), 0);
    open_session();
    snprintf(command, sizeof command, "cmp big %s/uploads/big && echo same", folder);
    assert_prints(command, "same\n");
}

static void opening_has_a_deadline(void **state) {
    (void)state;
    make_uploads(200);
    ci_session_options options = usual();
    options.open_timeout_ms = 50;
    FAILS(CI_ERR_TIMEOUT, "open: time-out after 0.05 s", ci_session_open(&options, &session, &error));
}

static void an_open_call_that_is_freed_leaves_nothing(void **state) {
    (void)state;
    make_uploads(3);
    hold();
    ci_session_options options = usual();
    ci_call *call = NULL;
    assert_int_equal(ci_session_open_start(&options, &call, NULL), CI_OK);
    beat(2);
    assert_int_equal(ci_call_wait(call, 12), CI_CALL_RUNNING);
    ci_call_free(call);
    hold_no_more();
}

static void a_storage_out_of_reach_fails_opening_but_no_later_call(void **state) {
    (void)state;
    logged.fail_list = 1;
    ci_session_options options = usual();
    FAILS(CI_ERR_IO, "open session: uploads: out of reach", ci_session_open(&options, &session, &error));
    logged.fail_list = 0;
    open_session();
    logged.fail_list = 1;
    ci_result *result = end(start("echo ran", 0));
    assert_string_equal(ci_result_stdout(result, NULL), "ran\n");
    assert_int_equal(ci_result_file_count(result, CI_FILES_PRELOAD), 1);
    ci_file_info info = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file(result, CI_FILES_PRELOAD, 0, &info), CI_OK);
    assert_int_equal(info.status, CI_FILE_FAILED);
    assert_string_equal(info.error, "out of reach");
    ci_result_free(result);
}

/* --- the door ------------------------------------------------------------------------------------------------------ */

static ci_status (*inner_run)(void *, const ci_run_request *, const ci_sink *, ci_op **, ci_error **);
static char run_order[8];

static ci_status noted_run(void *state, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                           ci_error **ret_error) {
    strncat(run_order, request->text + strlen("echo "), 1);
    return inner_run(state, request, sink, ret_op, ret_error);
}

static void calls_begin_in_order_however_they_are_processed(void **state) {
    (void)state;
    ci_sandbox_ops ops = *cii_sandbox_ops(sandbox);
    inner_run = ops.run;
    ops.run = noted_run;
    ci_session_options options = usual();
    options.sandbox = disguised(&ops);
    assert_int_equal(ci_session_open(&options, &session, NULL), CI_OK);
    ci_sandbox_free(options.sandbox);
    run_order[0] = 0;
    hold();
    ci_call *calls[4];
    struct pollfd fds[4];
    const char *commands[] = {"echo 0", "echo 1", "echo 2", "echo 3"};
    for (int i = 0; i < 4; i++) {
        calls[i] = start(commands[i], 0);
        fds[i] = (struct pollfd){.fd = ci_call_fd(calls[i]), .events = POLLIN};
    }
    assert_string_equal(run_order, ""); /* the storage keeps the first one waiting, and so all */
    beat(1000);
    for (int left = 4; left > 0;) {
        assert_true(poll(fds, 4, PATIENCE_MS) > 0);
        for (int i = 3; i >= 0; i--) /* the last first */
            if (fds[i].revents && ci_call_process(calls[i]) == CI_CALL_DONE) {
                fds[i].fd = -1;
                fds[i].revents = 0;
                left--;
            }
    }
    for (int i = 0; i < 4; i++)
        ci_call_free(calls[i]);
    hold_no_more();
    assert_string_equal(run_order, "0123");
}

static void who_leaves_the_door_early_lets_the_next_pass(void **state) {
    (void)state;
    open_session();
    ci_call *first = start("echo first", 0), *second = start("echo second", 0);
    ci_call_free(first);
    ci_result *result = end(second);
    assert_string_equal(ci_result_stdout(result, NULL), "second\n");
    ci_result_free(result);
}

static void *end_in_thread(void *call) {
    return end(call);
}

static void one_thread_waits_at_the_door_for_another(void **state) {
    (void)state;
    open_session();
    for (int i = 0; i < 10; i++) {
        ci_call *first = start("true", 0), *second = start("true", 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, end_in_thread, second), 0);
        ci_result_free(end(first));
        void *result = NULL;
        pthread_join(thread, &result);
        ci_result_free(result);
    }
}

static void a_deadline_before_the_run_is_a_result(void **state) {
    (void)state;
    open_session();
    make_uploads(20);
    ci_result *result = end(start("echo ran > ran", 30)); /* 20 uploads take 100 ms and more */
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    ci_result_free(result);
    assert_prints("ls ran; ls | wc -l | tr -d ' '", "20\n"); /* the next call brings the rest */
}

static void a_large_upload_goes_on_from_call_to_call(void **state) {
    (void)state;
    open_session();
    write_here("uploads/large", "");
    char path[256];
    snprintf(path, sizeof path, "%s/uploads/large", folder);
    assert_int_equal(truncate(path, 20 << 20), 0); /* 400 ms and more */
    int late = 0;
    for (int32_t outcome = CI_OUTCOME_TIMEOUT; outcome == CI_OUTCOME_TIMEOUT && late < 10; late++) {
        ci_result *result = end(start("stat -c %s large second", 100 << late));
        outcome = ci_result_outcome(result);
        if (outcome == CI_OUTCOME_OK)
            assert_string_equal(ci_result_stdout(result, NULL), "20971520\n7\n");
        ci_result_free(result);
        write_here("uploads/second", "second\n"); /* comes when the first is on its way */
    }
    assert_in_range(late, 2, 9);
    assert_int_equal(logged.gets, 2); /* and is not begun anew */
}

/* --- push ---------------------------------------------------------------------------------------------------------- */

static void info_tells_whether_the_storage_blocks(void **state) {
    (void)state;
    open_session();
    char *json = NULL;
    assert_int_equal(ci_session_info(session, &json, NULL), CI_OK);
    assert_non_null(strstr(json, "\"storage\":\"slow\""));
    assert_non_null(strstr(json, "\"blocking\":false"));
    ci_free(json);
}

static void push_transfers_in_parallel(void **state) {
    (void)state;
    open_session();
    ci_result_free(end(start("for i in $(seq 40); do echo $i > f$i; done", 0)));
    logged.most_ops = 0;
    hold();
    ci_call *push = NULL;
    assert_int_equal(ci_push_to_workspace_start(session, NULL, 0, NULL, &push, NULL), CI_OK);
    assert_true(beat_until_done(push) >= 40);
    hold_no_more();
    ci_result *result = end(push);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 40);
    ci_result_free(result);
    assert_int_equal(logged.most_ops, 8);
    assert_true(is_here("code-interpreter/f40"));
}

/* How many of the 80 files the late push saved; the others failed. */
static int saved_late(ci_result *result) {
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_int_equal(ci_result_file_count(result, CI_FILES_MAIN), 80);
    int saved = 0, failed = 0;
    for (size_t i = 0; i < 80; i++) {
        ci_file_info info = CI_FILE_INFO_INIT;
        ci_result_file(result, CI_FILES_MAIN, i, &info);
        saved += info.status == CI_FILE_SAVED;
        failed += info.status == CI_FILE_FAILED && info.error;
    }
    assert_int_equal(saved + failed, 80);
    ci_result_free(result);
    return saved;
}

static void a_push_that_is_late_tells_what_it_did(void **state) {
    (void)state;
    ci_session_options options = usual();
    options.timeout_ms = 100;
    assert_int_equal(ci_session_open(&options, &session, NULL), CI_OK);
    ci_run_options unhurried = CI_RUN_OPTIONS_INIT;
    unhurried.timeout_ms = -1;
    ci_result *result = NULL;
    assert_int_equal(
        ci_execute_command(session, "for i in $(seq 80); do echo $i > f$i; done", &unhurried, &result, NULL), CI_OK);
    ci_result_free(result);
    hold();
    assert_int_equal(ci_push_to_workspace(session, NULL, 0, NULL, &result, NULL), CI_OK);
    assert_int_equal(saved_late(result), 0); /* nothing moved before the session's deadline */

    ci_push_options push_options = CI_PUSH_OPTIONS_INIT;
    push_options.timeout_ms = -1;
    ci_call *push = NULL;
    assert_int_equal(ci_push_to_workspace_start(session, NULL, 0, &push_options, &push, NULL), CI_OK);
    struct pollfd fd = {.fd = ci_call_fd(push), .events = POLLIN};
    while (logged.puts < 40) {
        if (poll(&fd, 1, 0) == 0)
            beat(1);
        assert_int_equal(ci_call_process(push), CI_CALL_RUNNING);
    }
    assert_int_equal(ci_call_set_timeout(push, 1), CI_OK);
    assert_in_range(saved_late(end(push)), 1, 39); /* of 40 begun not all have come to their end */
    hold_no_more();
}

static void a_deadline_for_tools_holds_for_a_push_too(void **state) {
    (void)state;
    open_session();
    ci_result_free(end(start("for i in $(seq 800); do echo $i > f$i; done", 0)));
    ci_tool_options options = CI_TOOL_OPTIONS_INIT;
    options.timeout_ms = 100;
    ci_result *result = NULL;
    assert_int_equal(ci_tool_call(session, "ci_push_to_workspace", "{}", SIZE_MAX, &options, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_string_equal(ci_result_error_message(result), "time-out after 0.1 s");
    ci_result_free(result);
}

static void a_push_may_have_a_deadline_of_its_own(void **state) {
    (void)state;
    open_session();
    ci_result_free(end(start("for i in $(seq 800); do echo $i > f$i; done", 0)));
    ci_push_options push_options = CI_PUSH_OPTIONS_INIT;
    push_options.timeout_ms = 100;
    ci_result *result = NULL;
    assert_int_equal(ci_push_to_workspace(session, NULL, 0, &push_options, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_string_equal(ci_result_error_message(result), "time-out after 0.1 s");
    ci_result_free(result);

    push_options.flags = 2;
    FAILS(CI_ERR_INVALID, "flags: 0x2", ci_push_to_workspace(session, NULL, 0, &push_options, &result, &error));
    push_options = (ci_push_options)CI_PUSH_OPTIONS_INIT;
    push_options.reserved = 1;
    FAILS(CI_ERR_INVALID, "reserved", ci_push_to_workspace(session, NULL, 0, &push_options, &result, &error));
}

static void session_interrupt_leaves_a_push_by_tool_alone(void **state) {
    (void)state;
    open_session();
    ci_result_free(end(start("echo 1 > f", 0)));
    hold();
    ci_call *call = NULL;
    assert_int_equal(ci_tool_call_start(session, "ci_push_to_workspace", "{}", SIZE_MAX, NULL, &call, NULL), CI_OK);
    assert_int_equal(ci_call_wait(call, 1), CI_CALL_RUNNING);
    assert_int_equal(ci_session_interrupt(session), CI_OK);
    beat_until_done(call);
    hold_no_more();
    ci_result *result = end(call);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
    assert_true(is_here("code-interpreter/f"));
}

static void a_workspace_that_is_gone_is_not_blamed_on_the_run(void **state) {
    (void)state;
    open_session();
    remove_folder();
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.output_filename = "out.txt";
    ci_result *result = NULL;
    assert_int_equal(ci_execute_command(session, "echo 1 > out.txt", &options, &result, NULL), CI_OK);
    ci_file_info info = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &info), CI_OK);
    assert_int_equal(info.status, CI_FILE_FAILED);
    assert_string_equal(info.error, "write \"code-interpreter/out.txt\": No such file or directory");
    ci_result_free(result);
}

static void large_files_pass_in_bounded_memory(void **state) {
    (void)state;
    open_session();
    ci_result_free(end(start("head -c 3000000 /dev/urandom > big; sha256sum < big | cut -c1-64 > sum", 0)));
    ci_result *result = NULL;
    const char *path = "big";
    assert_int_equal(ci_push_to_workspace(session, &path, 1, NULL, &result, NULL), CI_OK);
    ci_file_info info = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &info), CI_OK);
    assert_int_equal(info.size_bytes, 3000000);
    char check[128];
    snprintf(check, sizeof check, "test $(cat sum) = %s && echo same", info.sha256);
    ci_result_free(result);
    assert_prints(check, "same\n");
}

static ci_call *reading;

/* A file of 33 MiB in one piece; its call is interrupted as it comes. */
static ci_status too_large_get(void *state, const char *path, uint64_t offset, uint64_t length,
                               ci_op_write_cb write_bytes, void *user, ci_op **ret_op, ci_error **ret_error) {
    (void)state, (void)path, (void)offset, (void)length, (void)ret_op, (void)ret_error;
    static char bytes[33 << 20];
    assert_true(write_bytes(user, bytes, sizeof bytes) < 0);
    ci_call_interrupt(reading);
    return CI_ERR_CANCELLED;
}

static void files_cut_after_one_that_is_too_large_are_not_called_so(void **state) {
    (void)state;
    ci_sandbox_ops ops = *cii_sandbox_ops(sandbox);
    ops.file_get = too_large_get;
    ci_session_options session_options = usual();
    session_options.sandbox = disguised(&ops);
    assert_int_equal(ci_session_open(&session_options, &session, NULL), CI_OK);
    ci_sandbox_free(session_options.sandbox);
    const char *paths[] = {"large", "small"};
    ci_file_op_options options = CI_FILE_OP_OPTIONS_INIT;
    options.operation = CI_FILE_OP_READ;
    options.paths = paths;
    options.path_count = 2;
    assert_int_equal(ci_file_op_start(session, &options, &reading, NULL), CI_OK);
    ci_result *result = end(reading);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_INTERRUPTED);
    ci_file_info info = {.struct_size = sizeof info};
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &info), CI_OK);
    assert_non_null(strstr(info.error, "larger than 32 MiB"));
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 1, &info), CI_OK);
    assert_string_equal(info.error, "not done: interrupted");
    ci_result_free(result);
}

/* --- activity ------------------------------------------------------------------------------------------------------ */

static uint64_t activity_now;
static int reads;
static ci_status (*inner_get)(void *, const char *, uint64_t, uint64_t, ci_op_write_cb, void *, ci_op **, ci_error **);

static uint64_t tell_activity(void *state) {
    (void)state;
    return activity_now;
}

static ci_status counted_get(void *state, const char *path, uint64_t offset, uint64_t length,
                             ci_op_write_cb write_bytes, void *user, ci_op **ret_op, ci_error **ret_error) {
    reads++;
    return inner_get(state, path, offset, length, write_bytes, user, ret_op, ret_error);
}

static ci_status (*inner_walk)(void *, const char *, uint32_t, ci_entry_cb, void *, ci_op **, ci_error **);
static ci_entry_cb entry_of_walk;
static void *user_of_walk;

static int32_t without_times(void *user, const ci_entry *entry) {
    (void)user;
    ci_entry same = *entry;
    same.modified_ns = 0;
    same.version = 0;
    return entry_of_walk(user_of_walk, &same);
}

static ci_status timeless_walk(void *state, const char *path, uint32_t flags, ci_entry_cb entry, void *user,
                               ci_op **ret_op, ci_error **ret_error) {
    entry_of_walk = entry;
    user_of_walk = user;
    return inner_walk(state, path, flags, without_times, NULL, ret_op, ret_error);
}

static void files_are_hashed_again_unless_nothing_can_have_written(void **state) {
    (void)state;
    ci_sandbox_ops ops = *cii_sandbox_ops(sandbox);
    inner_get = ops.file_get;
    ops.file_get = counted_get;
    ops.activity = tell_activity;
    inner_walk = ops.walk;
    ops.walk = timeless_walk;
    ci_session_options options = usual();
    options.sandbox = disguised(&ops);
    assert_int_equal(ci_session_open(&options, &session, NULL), CI_OK);
    ci_sandbox_free(options.sandbox);
    ci_result_free(end(start("echo 1 > f", 0)));
    static const struct {
        uint64_t activity;
        int reads;
    } pushes[] = {{7, 1}, {7, 0}, {0, 1}, {0, 1}, {8, 1}, {8, 0}};
    for (size_t i = 0; i < CII_ELEMENTS(pushes); i++) {
        activity_now = pushes[i].activity;
        reads = 0;
        ci_result *result = NULL;
        assert_int_equal(ci_push_to_workspace(session, NULL, 0, NULL, &result, NULL), CI_OK);
        ci_file_info info = CI_FILE_INFO_INIT;
        assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &info), CI_OK);
        assert_int_equal(info.status, i == 0 ? CI_FILE_SAVED : CI_FILE_UNCHANGED);
        assert_non_null(info.sha256);
        assert_int_equal(reads, pushes[i].reads);
        ci_result_free(result);
    }
    /* The host's own writing counts too. */
    const ci_file_content content = {"f", "2\n", 2};
    ci_file_op_options write_options = CI_FILE_OP_OPTIONS_INIT;
    write_options.operation = CI_FILE_OP_WRITE;
    write_options.content = &content;
    write_options.content_count = 1;
    ci_result *result = NULL;
    assert_int_equal(ci_file_op(session, &write_options, &result, NULL), CI_OK);
    ci_result_free(result);
    assert_int_equal(ci_push_to_workspace(session, NULL, 0, NULL, &result, NULL), CI_OK);
    ci_file_info info = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &info), CI_OK);
    assert_int_equal(info.status, CI_FILE_SAVED);
    ci_result_free(result);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(opening_brings_uploads_and_never_blocks),
        WITH(large_uploads_arrive_whole),
        WITH(opening_has_a_deadline),
        WITH(an_open_call_that_is_freed_leaves_nothing),
        WITH(a_storage_out_of_reach_fails_opening_but_no_later_call),
        WITH(calls_begin_in_order_however_they_are_processed),
        WITH(who_leaves_the_door_early_lets_the_next_pass),
        WITH(one_thread_waits_at_the_door_for_another),
        WITH(a_deadline_before_the_run_is_a_result),
        WITH(a_large_upload_goes_on_from_call_to_call),
        WITH(info_tells_whether_the_storage_blocks),
        WITH(push_transfers_in_parallel),
        WITH(a_push_that_is_late_tells_what_it_did),
        WITH(a_deadline_for_tools_holds_for_a_push_too),
        WITH(a_push_may_have_a_deadline_of_its_own),
        WITH(session_interrupt_leaves_a_push_by_tool_alone),
        WITH(a_workspace_that_is_gone_is_not_blamed_on_the_run),
        WITH(large_files_pass_in_bounded_memory),
        WITH(files_cut_after_one_that_is_too_large_are_not_called_so),
        WITH(files_are_hashed_again_unless_nothing_can_have_written),
    };
    return cmocka_run_group_tests_name("sessions with a slow storage", tests, NULL, NULL);
}
