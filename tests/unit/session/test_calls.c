/* How calls live, end, and are ended, with a backend that does whatever a test wants. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit.h"
#include "base/clock.h"
#include "fake.h"
#include "session/session.h"

#define PATIENCE_MS 300000 /* with what shall end, and does not hang on time */

/* Time as the library sees it (--wrap) may stand still, so that a moment is not reached before the test says so, however
 * long this process was not let run. It is the real one again with thaw(). */
static int64_t frozen_us;

int64_t __real_cii_clock_us(void);
int64_t __wrap_cii_clock_us(void);
int64_t __wrap_cii_clock_us(void) {
    return frozen_us ? frozen_us : __real_cii_clock_us();
}

static void freeze(void) {
    frozen_us = __real_cii_clock_us();
}

static void let_pass(int64_t ms) {
    frozen_us += ms * 1000;
}

static void thaw(void) {
    frozen_us = 0;
}

static fake_log logged;
static ci_sandbox *sandbox;
static ci_session *session;
static int fds_before;

static int open_session(void **state) {
    (void)state;
    thaw();
    fds_before = count_fds();
    logged = (fake_log){0};
    sandbox = fake_sandbox(0, &logged);
    session = fake_session(sandbox, 100, 0);
    return session ? 0 : -1;
}

/* Nothing may be left: neither descriptors nor what the backend made. */
static int close_session(void **state) {
    (void)state;
    ci_session_close(session);
    ci_sandbox_free(sandbox);
    session = NULL;
    if (logged.open_ops || logged.open_sessions || count_fds() != fds_before) {
        fprintf(stderr, "left: %d operations, %d sessions, %d descriptors\n", logged.open_ops, logged.open_sessions,
                count_fds() - fds_before);
        return -1;
    }
    return 0;
}

static ci_run_options within(int64_t timeout_ms) {
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.timeout_ms = timeout_ms;
    return options;
}

static ci_result *run(const char *text, int64_t timeout_ms) {
    ci_run_options options = within(timeout_ms);
    ci_result *result = NULL;
    ci_error *error = NULL;
    if (ci_execute_code(session, text, SIZE_MAX, &options, &result, &error) < 0)
        fail_msg("%s: %s", text, ci_error_message(error));
    return result;
}

static void a_run_gives_its_output(void **state) {
    (void)state;
    ci_result *result = run("say hello", 0);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    assert_string_equal(ci_result_stdout(result, NULL), "hello");
    ci_result_free(result);
}

static void failed_code_is_a_result(void **state) {
    (void)state;
    ci_result *result = run("fail", 0);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_EXCEPTION);
    assert_string_equal(ci_result_error_name(result), "ValueError");
    ci_result_free(result);
}

static void the_memory_limit_is_named(void **state) {
    (void)state;
    ci_result *result = run("memory", 0);
    assert_string_equal(ci_result_error_message(result), "memory limit of 2 GiB reached");
    assert_int_equal(ci_result_exit_code(result), 137);
    ci_result_free(result);
}

static void the_deadline_interrupts(void **state) {
    (void)state;
    int64_t start = cii_clock_ms();
    ci_result *result = run("forever", 50);
    assert_in_range(cii_clock_ms() - start, 50, PATIENCE_MS);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_int_equal(ci_result_exit_code(result), 124);
    assert_string_equal(ci_result_error_message(result), "time-out after 0.05 s");
    assert_int_equal(ci_result_state_lost(result), 0);
    assert_int_equal(logged.kills, 0);
    ci_result_free(result);
}

static void code_that_ends_well_when_interrupted_is_ok(void **state) {
    (void)state;
    ci_result *result = run("caught", 50);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
}

static void what_ignores_interrupts_is_killed_after_the_grace(void **state) {
    (void)state;
    int64_t start = cii_clock_ms();
    ci_result *result = run("stubborn", 50);
    assert_in_range(cii_clock_ms() - start, 150, PATIENCE_MS);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_int_equal(ci_result_state_lost(result), 1);
    assert_int_equal(logged.interrupts, 1);
    assert_int_equal(logged.kills, 1);
    ci_result_free(result);
}

static void what_survives_being_killed_is_given_up_within_a_second(void **state) {
    (void)state;
    static const struct {
        int64_t passed_ms;
        int interrupts, kills;
    } steps[] = {{49, 0, 0}, {1, 1, 0}, {99, 1, 0}, {1, 1, 1}};
    ci_call *call = NULL;
    ci_result *result = NULL;
    ci_run_options options = within(50);
    freeze();
    assert_int_equal(ci_execute_code_start(session, "undead", SIZE_MAX, &options, &call, NULL), CI_OK);
    for (size_t i = 0; i < CII_ELEMENTS(steps); i++) {
        let_pass(steps[i].passed_ms);
        assert_int_equal(ci_call_process(call), CI_CALL_RUNNING);
        assert_int_equal(logged.interrupts, steps[i].interrupts);
        assert_int_equal(logged.kills, steps[i].kills);
    }
    let_pass(999);
    assert_int_equal(ci_call_process(call), CI_CALL_DONE);
    thaw();
    assert_int_equal(ci_call_take_result(call, &result, NULL), CI_OK);
    ci_call_free(call);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_int_equal(ci_result_state_lost(result), 1);
    ci_result_free(result);
}

static void a_lost_sandbox_does_not_take_the_output_with_it(void **state) {
    (void)state;
    ci_result *result = run("lost words", 0);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_LOST);
    assert_string_equal(ci_result_stdout(result, NULL), "words");
    ci_result_free(result);
}

static int32_t interrupt_on_output(void *user, int32_t event, const char *mime_type, const void *data, size_t size) {
    (void)event;
    (void)mime_type;
    (void)data;
    (void)size;
    *(int *)user += 1;
    return ci_session_interrupt(session);
}

static void a_callback_may_interrupt(void **state) {
    (void)state;
    int calls = 0;
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.output = interrupt_on_output;
    options.output_user = &calls;
    ci_result *result = NULL;
    assert_int_equal(ci_execute_code(session, "say x", SIZE_MAX, &options, &result, NULL), CI_OK);
    assert_int_equal(calls, 1);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
}

static void output_that_could_not_be_kept_whole_is_a_failed_file(void **state) {
    (void)state;
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.flags = CI_RUN_SPILL_OUTPUT;
    options.stream_bytes = 10;
    struct rlimit before, none;
    getrlimit(RLIMIT_FSIZE, &before);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none); /* as if /tmp were full */
    ci_result *result = NULL;
    ci_status status = ci_execute_code(session, "say more than ten bytes", SIZE_MAX, &options, &result, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, CI_OK);
    ci_file_info info = CI_FILE_INFO_INIT;
    assert_int_equal(ci_result_file(result, CI_FILES_MAIN, 0, &info), CI_OK);
    assert_int_equal(info.status, CI_FILE_FAILED);
    assert_string_equal(info.error, "keep the whole output in /tmp: File too large");
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    ci_result_free(result);
}

/* --- other threads ------------------------------------------------------------------------------------------------- */

typedef struct later {
    pthread_t thread;
    ci_call *call;
    void (*what)(struct later *);
} later;

/* Not before a run has begun; and then most likely it is being waited for. */
static void *after_a_while(void *user) {
    while (logged.runs == 0)
        usleep(1000);
    usleep(50000);
    ((later *)user)->what(user);
    return NULL;
}

static void do_later(later *l) {
    assert_int_equal(pthread_create(&l->thread, NULL, after_a_while, l), 0);
}

static void cancel_it(later *l) {
    ci_call_cancel(l->call);
}
static void interrupt_it(later *l) {
    ci_call_interrupt(l->call);
}
static void interrupt_all(later *l) {
    (void)l;
    ci_session_interrupt(session);
}
static void interrupt_all_and_let_go(later *l) {
    (void)l;
    ci_session_interrupt(session);
    fake_let_go(&logged);
}
static void shut_down(later *l) {
    (void)l;
    ci_session_shutdown(session);
}

static void cancel_ends_a_wait_in_another_thread(void **state) {
    (void)state;
    later l = {.what = cancel_it};
    assert_int_equal(ci_execute_code_start(session, "undead", SIZE_MAX, NULL, &l.call, NULL), CI_OK);
    do_later(&l);
    assert_int_equal(ci_call_wait(l.call, -1), CI_CALL_DONE);
    pthread_join(l.thread, NULL);
    ci_result *result = NULL;
    FAILS(CI_ERR_CANCELLED, "cancelled", ci_call_take_result(l.call, &result, &error));
    ci_call_free(l.call);
}

static void interrupt_from_another_thread(void **state) {
    (void)state;
    later l = {.what = interrupt_it};
    assert_int_equal(ci_execute_code_start(session, "forever", SIZE_MAX, NULL, &l.call, NULL), CI_OK);
    do_later(&l);
    assert_int_equal(ci_call_wait(l.call, -1), CI_CALL_DONE);
    pthread_join(l.thread, NULL);
    ci_result *result = NULL;
    assert_int_equal(ci_call_take_result(l.call, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_INTERRUPTED);
    assert_int_equal(ci_result_exit_code(result), 130);
    ci_result_free(result);
    ci_call_free(l.call);
    result = run("sleep 20", 0); /* the next one is not hit */
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
}

static void session_interrupt_reaches_blocking_calls(void **state) {
    (void)state;
    later l = {.what = interrupt_all};
    do_later(&l);
    ci_result *result = run("forever", 0);
    pthread_join(l.thread, NULL);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_INTERRUPTED);
    ci_result_free(result);
}

static void session_interrupt_leaves_a_clearing_alone(void **state) {
    (void)state;
    later l = {.what = interrupt_all_and_let_go};
    do_later(&l);
    ci_error *error = NULL;
    if (ci_context_clear(session, NULL, NULL, &error) < 0)
        fail_msg("%s", ci_error_message(error));
    pthread_join(l.thread, NULL);
    assert_int_equal(logged.interrupts, 0);
}

static void clearing_is_a_call_that_can_be_interrupted(void **state) {
    (void)state;
    ci_call *call = NULL;
    assert_int_equal(ci_context_clear_start(session, NULL, NULL, &call, NULL), CI_OK);
    assert_int_equal(ci_call_process(call), CI_CALL_RUNNING); /* and comes back before it is done */
    FAILS(CI_ERR_INVALID, "not done", ci_call_take_status(call, &error));
    fake_let_go(&logged);
    assert_int_equal(ci_call_wait(call, -1), CI_CALL_DONE);
    assert_int_equal(ci_call_take_status(call, NULL), CI_OK);
    ci_call_free(call);

    assert_int_equal(ci_context_clear_start(session, NULL, NULL, &call, NULL), CI_OK);
    assert_int_equal(ci_call_interrupt(call), CI_OK);
    assert_int_equal(ci_call_wait(call, -1), CI_CALL_DONE);
    FAILS(CI_ERR_CANCELLED, "cancelled", ci_call_take_status(call, &error));
    ci_call_free(call);
    assert_int_equal(logged.open_ops, 0);
}

static void shutdown_ends_blocking_calls_and_later_ones(void **state) {
    (void)state;
    later l = {.what = shut_down};
    do_later(&l);
    ci_result *result = NULL;
    FAILS(CI_ERR_CLOSED, "closed", ci_execute_code(session, "undead", SIZE_MAX, NULL, &result, &error));
    pthread_join(l.thread, NULL);
    FAILS(CI_ERR_CLOSED, "closed", ci_execute_code(session, "say x", SIZE_MAX, NULL, &result, &error));
    assert_int_equal(ci_session_shutdown(session), CI_OK);
}

static void a_session_lives_until_the_thread_that_shuts_it_down_is_done(void **state) {
    (void)state;
    logged.shutdown_waits = 1;
    later l = {.what = shut_down};
    do_later(&l);
    ci_result *result = NULL;
    FAILS(CI_ERR_CLOSED, "closed", ci_execute_code(session, "undead", SIZE_MAX, NULL, &result, &error));
    ci_session_close(session);
    int open_meanwhile = logged.open_sessions;
    logged.shutdown_waits = 0;
    pthread_join(l.thread, NULL);
    session = NULL;
    assert_int_equal(open_meanwhile, 1);
    assert_int_equal(logged.open_sessions, 0);
}

static void *run_many(void *user) {
    for (int i = 0; i < 200; i++) {
        ci_result *result = NULL;
        if (ci_execute_code(session, "say x", SIZE_MAX, NULL, &result, NULL) == CI_OK)
            *(int *)user += strcmp(ci_result_stdout(result, NULL), "x") == 0;
        ci_result_free(result);
    }
    return NULL;
}

static void threads_share_a_session(void **state) {
    (void)state;
    pthread_t threads[4];
    int good[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_many, &good[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(good[i], 200);
    }
}

static void *close_soon(void *user) {
    usleep(5000);
    ci_session_close(user);
    return NULL;
}

/* Close gives the handle up: only calls that were started before still hold it. */
static void closing_while_calls_run_is_safe(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        ci_session *mine = fake_session(sandbox, 100, 0);
        ci_call *calls[3];
        for (int k = 0; k < 3; k++)
            assert_int_equal(ci_execute_code_start(mine, "undead", SIZE_MAX, NULL, &calls[k], NULL), CI_OK);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, close_soon, mine), 0);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(ci_call_wait(calls[k], -1), CI_CALL_DONE);
            ci_result *result = NULL;
            FAILS(CI_ERR_CLOSED, "closed", ci_call_take_result(calls[k], &result, &error));
        }
        pthread_join(thread, NULL);
        for (int k = 0; k < 3; k++)
            ci_call_free(calls[k]);
    }
}

/* --- the descriptor ------------------------------------------------------------------------------------------------ */

#define MANY 50

static void one_thread_drives_fifty_calls(void **state) {
    (void)state;
    ci_call *calls[MANY];
    struct pollfd fds[MANY];
    for (int i = 0; i < MANY; i++) {
        char text[32];
        ci_run_options options = within(i % 10 == 0 ? 60 : 0);
        snprintf(text, sizeof text, i % 10 == 0 ? "stubborn" : i % 2 ? "say %d" : "sleep %d", i);
        assert_int_equal(ci_execute_code_start(session, text, SIZE_MAX, &options, &calls[i], NULL), CI_OK);
        fds[i] = (struct pollfd){.fd = ci_call_fd(calls[i]), .events = POLLIN};
        assert_true(fds[i].fd >= 0);
    }
    int left = MANY;
    while (left > 0) {
        assert_true(poll(fds, MANY, PATIENCE_MS) > 0);
        for (int i = 0; i < MANY; i++)
            if (fds[i].revents && ci_call_process(calls[i]) == CI_CALL_DONE) {
                fds[i].fd = -1;
                fds[i].revents = 0;
                left--;
            }
    }
    for (int i = 0; i < MANY; i++) {
        ci_result *result = NULL;
        assert_int_equal(ci_call_take_result(calls[i], &result, NULL), CI_OK);
        assert_int_equal(ci_result_outcome(result), i % 10 == 0 ? CI_OUTCOME_TIMEOUT : CI_OUTCOME_OK);
        ci_result_free(result);
        ci_call_free(calls[i]);
    }
}

static void the_descriptor_tells_of_a_cancel(void **state) {
    (void)state;
    ci_call *call = NULL;
    assert_int_equal(ci_execute_code_start(session, "undead", SIZE_MAX, NULL, &call, NULL), CI_OK);
    struct pollfd fd = {.fd = ci_call_fd(call), .events = POLLIN};
    while (poll(&fd, 1, 20) > 0) /* what is to be done at the beginning */
        assert_int_equal(ci_call_process(call), CI_CALL_RUNNING);
    ci_call_cancel(call);
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    assert_int_equal(ci_call_process(call), CI_CALL_DONE);
    assert_int_equal(poll(&fd, 1, 0), 1); /* who polls before looking is not left waiting */
    ci_call_free(call);
}

static void waiting_comes_back_in_time(void **state) {
    (void)state;
    ci_call *call = NULL;
    assert_int_equal(ci_execute_code_start(session, "undead", SIZE_MAX, NULL, &call, NULL), CI_OK);
    int64_t start = cii_clock_ms();
    assert_int_equal(ci_call_wait(call, 30), CI_CALL_RUNNING);
    assert_in_range(cii_clock_ms() - start, 29, PATIENCE_MS);
    ci_result *result = NULL;
    FAILS(CI_ERR_INVALID, "not done", ci_call_take_result(call, &result, &error));
    ci_call_free(call);
}

/* Starts code that does not end and drives it through the descriptor for a moment, so that its timer is armed; meanwhile no
 * time passes. */
static ci_call *driven(const char *text, int64_t timeout_ms) {
    freeze();
    ci_call *call = NULL;
    ci_run_options options = within(timeout_ms);
    assert_int_equal(ci_execute_code_start(session, text, SIZE_MAX, &options, &call, NULL), CI_OK);
    struct pollfd fd = {.fd = ci_call_fd(call), .events = POLLIN};
    for (int steps = 0; steps < 5 && poll(&fd, 1, 20) > 0; steps++)
        assert_int_equal(ci_call_process(call), CI_CALL_RUNNING);
    thaw();
    return call;
}

/* Drives the call to its end. */
static void drive_on(ci_call *call) {
    struct pollfd fd = {.fd = ci_call_fd(call), .events = POLLIN};
    do {
        assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    } while (ci_call_process(call) == CI_CALL_RUNNING);
}

static void assert_late(ci_call *call, const char *message) {
    ci_result *result = NULL;
    assert_int_equal(ci_call_take_result(call, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_string_equal(ci_result_error_message(result), message);
    ci_result_free(result);
    ci_call_free(call);
}

static void another_deadline_holds_for_who_polls_the_descriptor(void **state) {
    (void)state;
    static const struct {
        int64_t before_ms; /* -1: no timer yet; else one that is armed */
        int64_t after_ms;
        const char *message;
    } cases[] = {{-1, 150, "time-out after 0.15 s"},
                 {20000, 150, "time-out after 0.15 s"},
                 {1000, 1500, "time-out after 1.5 s"}};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        int64_t start = cii_clock_ms();
        ci_call *call = driven("forever", cases[i].before_ms);
        assert_int_equal(ci_call_set_timeout(call, cases[i].after_ms), CI_OK);
        drive_on(call);
        assert_in_range(cii_clock_ms() - start, cases[i].after_ms, PATIENCE_MS);
        assert_late(call, cases[i].message);
    }
}

static void another_deadline_holds_for_who_waits(void **state) {
    (void)state;
    ci_call *call = NULL;
    assert_int_equal(ci_execute_code_start(session, "forever", SIZE_MAX, NULL, &call, NULL), CI_OK);
    assert_int_equal(ci_call_wait(call, 30), CI_CALL_RUNNING);
    assert_int_equal(ci_call_set_timeout(call, 100), CI_OK);
    assert_int_equal(ci_call_wait(call, PATIENCE_MS), CI_CALL_DONE);
    assert_int_equal(ci_call_set_timeout(call, 100), CI_ERR_INVALID); /* done */
    assert_late(call, "time-out after 0.1 s");
}

static void another_deadline_reaches_the_call_behind_a_tool(void **state) {
    (void)state;
    ci_call *call = NULL;
    assert_int_equal(
        ci_tool_call_start(session, "execute_code", "{\"code\": \"forever\"}", SIZE_MAX, NULL, &call, NULL), CI_OK);
    assert_int_equal(ci_call_wait(call, 30), CI_CALL_RUNNING);
    assert_int_equal(ci_call_set_timeout(call, 100), CI_OK);
    assert_int_equal(ci_call_wait(call, PATIENCE_MS), CI_CALL_DONE);
    assert_late(call, "time-out after 0.1 s");
}

static void a_deadline_is_taken_back(void **state) {
    (void)state;
    static const int64_t none[] = {0, -1};
    for (size_t i = 0; i < CII_ELEMENTS(none); i++) {
        ci_call *call = driven("hold", 100);
        assert_int_equal(ci_call_set_timeout(call, none[i]), CI_OK);
        struct pollfd fd = {.fd = ci_call_fd(call), .events = POLLIN};
        while (poll(&fd, 1, 200) > 0) /* the deadline that there was passes meanwhile */
            assert_int_equal(ci_call_process(call), CI_CALL_RUNNING);
        assert_int_equal(ci_call_process(call), CI_CALL_RUNNING);
        fake_let_go(&logged);
        drive_on(call);
        ci_result *result = NULL;
        assert_int_equal(ci_call_take_result(call, &result, NULL), CI_OK);
        assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
        ci_result_free(result);
        ci_call_free(call);
    }
}

static void a_deadline_counts_from_the_calls_start(void **state) {
    (void)state;
    ci_call *call = NULL;
    freeze();
    assert_int_equal(ci_execute_code_start(session, "forever", SIZE_MAX, NULL, &call, NULL), CI_OK);
    let_pass(500);
    assert_int_equal(ci_call_set_timeout(call, 600), CI_OK);
    let_pass(99);
    assert_int_equal(ci_call_process(call), CI_CALL_RUNNING);
    assert_int_equal(logged.interrupts, 0);
    let_pass(1);
    assert_int_equal(ci_call_process(call), CI_CALL_RUNNING);
    assert_int_equal(logged.interrupts, 1);
    thaw();
    assert_int_equal(ci_call_wait(call, PATIENCE_MS), CI_CALL_DONE);
    assert_late(call, "time-out after 0.6 s");
}

static void an_outcome_is_taken_once(void **state) {
    (void)state;
    ci_call *call = NULL;
    ci_result *result = NULL;
    ci_session *none = NULL;
    assert_int_equal(ci_execute_code_start(session, "say x", SIZE_MAX, NULL, &call, NULL), CI_OK);
    assert_int_equal(ci_call_wait(call, -1), CI_CALL_DONE);
    FAILS(CI_ERR_INVALID, "not a session", ci_call_take_session(call, &none, &error));
    assert_int_equal(ci_call_take_result(call, &result, NULL), CI_OK);
    ci_result *second = NULL;
    FAILS(CI_ERR_INVALID, "taken before", ci_call_take_result(call, &second, &error));
    ci_result_free(result);
    ci_call_free(call);
}

static void runs_reach_the_backend_in_order_of_their_start(void **state) {
    (void)state;
    ci_call *calls[3];
    const char *texts[] = {"sleep 30", "forever", "say x"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(ci_execute_code_start(session, texts[i], SIZE_MAX, NULL, &calls[i], NULL), CI_OK);
    assert_string_equal(logged.order, "sfs");
    for (int i = 0; i < 3; i++)
        ci_call_free(calls[i]); /* given up */
}

/* --- forks --------------------------------------------------------------------------------------------------------- */

static void a_forked_child_is_told_and_harms_nothing(void **state) {
    (void)state;
    ci_call *call = NULL;
    assert_int_equal(ci_execute_code_start(session, "sleep 100", SIZE_MAX, NULL, &call, NULL), CI_OK);
    pid_t child = fork();
    if (child == 0) {
        ci_result *result = NULL;
        int good = ci_execute_code(session, "say x", SIZE_MAX, NULL, &result, NULL) == CI_ERR_FORKED &&
                   ci_call_wait(call, 0) == CI_ERR_FORKED && ci_call_fd(call) == CI_ERR_FORKED &&
                   ci_session_interrupt(session) == CI_ERR_FORKED &&
                   ci_sandbox_prepare(sandbox, 0, NULL) == CI_ERR_FORKED;
        ci_call_free(call);
        ci_session_close(session);
        ci_sandbox_free(sandbox);
        _exit(good && logged.interrupts == 0 && logged.kills == 0 && logged.open_ops == 1 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ci_result *result = NULL;
    assert_int_equal(ci_call_wait(call, -1), CI_CALL_DONE);
    assert_int_equal(ci_call_take_result(call, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
    ci_call_free(call);
}

/* --- a backend that cannot interrupt ------------------------------------------------------------------------------- */

static void without_interrupt_late_code_is_killed(void **state) {
    (void)state;
    ci_sandbox *dull = fake_sandbox(FAKE_CANNOT_INTERRUPT, &logged);
    ci_session *mine = fake_session(dull, 100, 0);
    ci_run_options options = within(30);
    ci_result *result = NULL;
    assert_int_equal(ci_execute_code(mine, "forever", SIZE_MAX, &options, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_int_equal(ci_result_state_lost(result), 1);
    assert_int_equal(ci_session_interrupt(mine), CI_ERR_NOTSUP);
    ci_result_free(result);
    ci_session_close(mine);
    ci_sandbox_free(dull);
}

static void late_code_may_be_left_running(void **state) {
    (void)state;
    ci_sandbox *dull = fake_sandbox(FAKE_CANNOT_INTERRUPT, &logged);
    ci_session *mine = fake_session(dull, 100, CI_SESSION_LEAVE_RUNNING);
    ci_run_options options = within(30);
    ci_result *result = NULL;
    assert_int_equal(ci_execute_code(mine, "hold", SIZE_MAX, &options, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_TIMEOUT);
    assert_int_equal(ci_result_state_lost(result), 0);
    ci_result_free(result);
    result = NULL;
    FAILS(CI_ERR_BUSY, "left running", ci_execute_code(mine, "say x", SIZE_MAX, NULL, &result, &error));
    options = within(0);
    options.context = "other";
    assert_int_equal(ci_execute_code(mine, "say x", SIZE_MAX, &options, &result, NULL), CI_OK);
    ci_result_free(result);
    fake_let_go(&logged);
    assert_int_equal(ci_execute_code(mine, "say x", SIZE_MAX, NULL, &result, NULL), CI_OK);
    ci_result_free(result);
    ci_session_close(mine);
    ci_sandbox_free(dull);
}

/* --- calls of calls ------------------------------------------------------------------------------------------------ */

static ci_status pass_on(void *user, ci_call *inner, ci_result **ret_result, ci_error **ret_error) {
    *(int *)user += 1;
    return ci_call_take_result(inner, ret_result, ret_error);
}

static void an_outer_call_ends_with_its_inner(void **state) {
    (void)state;
    int mapped = 0;
    ci_call *inner = NULL;
    later l = {.what = interrupt_all};
    assert_int_equal(ci_execute_code_start(session, "forever", SIZE_MAX, NULL, &inner, NULL), CI_OK);
    assert_int_equal(cii_call_map_result(inner, pass_on, &mapped, NULL, &l.call, NULL), CI_OK);
    do_later(&l);
    assert_int_equal(ci_call_wait(l.call, -1), CI_CALL_DONE);
    pthread_join(l.thread, NULL);
    ci_result *result = NULL;
    assert_int_equal(ci_call_take_result(l.call, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_INTERRUPTED);
    assert_int_equal(mapped, 1);
    ci_call_free(l.call);
    assert_int_equal(cii_call_finished(result, &l.call, NULL), CI_OK);
    result = NULL;
    assert_int_equal(ci_call_process(l.call), CI_CALL_DONE);
    assert_int_equal(ci_call_take_result(l.call, &result, NULL), CI_OK);
    ci_result_free(result);
    ci_call_free(l.call);
}

/* --- what is refused ----------------------------------------------------------------------------------------------- */

static void bad_options_name_field_and_remedy(void **state) {
    (void)state;
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    ci_session *none = NULL;
    options.sandbox = sandbox;
    options.session_id = "no spaces";
    FAILS(CI_ERR_INVALID, "session_id: \"no spaces\" is not allowed", ci_session_open(&options, &none, &error));
    options.session_id = NULL;
    options.network = CI_NETWORK_HOST;
    FAILS(CI_ERR_NOTSUP, "it gives: none", ci_session_open(&options, &none, &error));
    options.network = CI_NETWORK_NONE;
    options.memory_bytes = 1 << 28;
    FAILS(CI_ERR_NOTSUP, "memory_bytes: the backend \"fake\"", ci_session_open(&options, &none, &error));
    options.memory_bytes = 0;
    options.network = 7;
    FAILS(CI_ERR_INVALID, "network: 7", ci_session_open(&options, &none, &error));
    options.network = 0;
    options.grace_ms = -1;
    FAILS(CI_ERR_INVALID, "grace_ms: -1", ci_session_open(&options, &none, &error));

    ci_run_options run_options = CI_RUN_OPTIONS_INIT;
    ci_result *result = NULL;
    run_options.language = "javascript";
    FAILS(CI_ERR_NOTSUP, "which runs: python", ci_execute_code(session, "x", SIZE_MAX, &run_options, &result, &error));
    run_options.language = "pyhton";
    FAILS(CI_ERR_INVALID, "pyhton", ci_execute_code(session, "x", SIZE_MAX, &run_options, &result, &error));
    run_options.language = NULL;
    run_options.context = "a/b";
    FAILS(CI_ERR_INVALID, "context", ci_execute_code(session, "x", SIZE_MAX, &run_options, &result, &error));
    run_options.context = NULL;
    run_options.output_filename = "x.png";
    FAILS(CI_ERR_NOTSUP, "no workspace", ci_execute_code(session, "x", SIZE_MAX, &run_options, &result, &error));
    run_options.output_filename = NULL;
    run_options.flags = CI_RUN_BACKGROUND;
    FAILS(CI_ERR_INVALID, "for commands", ci_execute_code(session, "x", SIZE_MAX, &run_options, &result, &error));
    FAILS(CI_ERR_NOTSUP, "background", ci_execute_command(session, "x", &run_options, &result, &error));
    FAILS(CI_ERR_NOTSUP, "no workspace", ci_push_to_workspace(session, NULL, 0, NULL, &result, &error));
    FAILS(CI_ERR_INVALID, "session: NULL", ci_execute_code(NULL, "x", SIZE_MAX, NULL, &result, &error));
    run_options = (ci_run_options)CI_RUN_OPTIONS_INIT;
    run_options.reserved = 1;
    FAILS(CI_ERR_INVALID, "reserved", ci_execute_code(session, "x", SIZE_MAX, &run_options, &result, &error));
    const ci_file_op_options newer = {.struct_size = sizeof newer, .operation = CI_FILE_OP_LIST, .reserved = 1};
    FAILS(CI_ERR_INVALID, "reserved", ci_file_op(session, &newer, &result, &error));
}

static void info_tells_what_holds(void **state) {
    (void)state;
    char *json = NULL;
    assert_int_equal(ci_session_info(session, &json, NULL), CI_OK);
    assert_non_null(strstr(json, "\"backend\":\"fake\""));
    assert_non_null(strstr(json, "\"mode\":\"none\""));
    assert_non_null(strstr(json, "\"memoryBytes\":{\"value\":2147483648,\"kept\":false}"));
    ci_free(json);
}

#define IN_SESSION(test) cmocka_unit_test_setup_teardown(test, open_session, close_session)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_SESSION(a_run_gives_its_output),
        IN_SESSION(failed_code_is_a_result),
        IN_SESSION(the_memory_limit_is_named),
        IN_SESSION(the_deadline_interrupts),
        IN_SESSION(code_that_ends_well_when_interrupted_is_ok),
        IN_SESSION(what_ignores_interrupts_is_killed_after_the_grace),
        IN_SESSION(what_survives_being_killed_is_given_up_within_a_second),
        IN_SESSION(output_that_could_not_be_kept_whole_is_a_failed_file),
        IN_SESSION(a_lost_sandbox_does_not_take_the_output_with_it),
        IN_SESSION(a_callback_may_interrupt),
        IN_SESSION(cancel_ends_a_wait_in_another_thread),
        IN_SESSION(interrupt_from_another_thread),
        IN_SESSION(session_interrupt_reaches_blocking_calls),
        IN_SESSION(session_interrupt_leaves_a_clearing_alone),
        IN_SESSION(clearing_is_a_call_that_can_be_interrupted),
        IN_SESSION(shutdown_ends_blocking_calls_and_later_ones),
        IN_SESSION(a_session_lives_until_the_thread_that_shuts_it_down_is_done),
        IN_SESSION(threads_share_a_session),
        IN_SESSION(closing_while_calls_run_is_safe),
        IN_SESSION(one_thread_drives_fifty_calls),
        IN_SESSION(the_descriptor_tells_of_a_cancel),
        IN_SESSION(waiting_comes_back_in_time),
        IN_SESSION(another_deadline_holds_for_who_polls_the_descriptor),
        IN_SESSION(another_deadline_holds_for_who_waits),
        IN_SESSION(another_deadline_reaches_the_call_behind_a_tool),
        IN_SESSION(a_deadline_is_taken_back),
        IN_SESSION(a_deadline_counts_from_the_calls_start),
        IN_SESSION(an_outcome_is_taken_once),
        IN_SESSION(runs_reach_the_backend_in_order_of_their_start),
        IN_SESSION(a_forked_child_is_told_and_harms_nothing),
        IN_SESSION(without_interrupt_late_code_is_killed),
        IN_SESSION(late_code_may_be_left_running),
        IN_SESSION(an_outer_call_ends_with_its_inner),
        IN_SESSION(bad_options_name_field_and_remedy),
        IN_SESSION(info_tells_what_holds),
    };
    return cmocka_run_group_tests_name("session calls", tests, NULL, NULL);
}
