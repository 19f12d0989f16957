#include "fixture.h"

#include <ftw.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/sandbox.h"
#include "template_sandbox.h"

char folder[64];
slow_log logged;
ci_storage *storage;
ci_sandbox *sandbox;
ci_session *session;
static int fds_before;

void write_here(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

bool is_here(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

int fixture_set_up(long step_ms) {
    char path[128];
    fds_before = count_fds();
    logged = (slow_log){0};
    strcpy(folder, "/tmp/ci-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/uploads", folder);
    mkdir(path, 0755);
    storage = slow_storage(folder, step_ms, &logged);
    return storage && template_sandbox_new(TEMPLATE_HOST_PATHS | TEMPLATE_WALK, &sandbox, NULL) == CI_OK ? 0 : -1;
}

void remove_folder(void) {
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int fixture_tear_down(void **state) {
    (void)state;
    ci_session_close(session);
    session = NULL;
    ci_sandbox_free(sandbox);
    ci_storage_free(storage);
    remove_folder();
    if (logged.ops || count_fds() != fds_before)
        fprintf(stderr, "left: %d operations, %d descriptors\n", logged.ops, count_fds() - fds_before);
    return logged.ops || count_fds() != fds_before ? -1 : 0;
}

ci_session_options usual(void) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    options.storage = storage;
    options.network = CI_NETWORK_HOST;
    options.open_timeout_ms = PATIENCE_MS;
    return options;
}

void open_session(void) {
    ci_session_options options = usual();
    ci_error *error = NULL;
    if (ci_session_open(&options, &session, &error) < 0)
        fail_msg("%s", ci_error_message(error));
}

ci_call *start(const char *command, int64_t timeout_ms) {
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.timeout_ms = timeout_ms;
    ci_call *call = NULL;
    assert_int_equal(ci_execute_command_start(session, command, &options, &call, NULL), CI_OK);
    return call;
}

ci_result *end(ci_call *call) {
    ci_result *result = NULL;
    assert_int_equal(ci_call_wait(call, PATIENCE_MS), CI_CALL_DONE);
    assert_int_equal(ci_call_take_result(call, &result, NULL), CI_OK);
    ci_call_free(call);
    return result;
}

void assert_prints(const char *command, const char *wanted) {
    ci_result *result = end(start(command, 0));
    assert_string_equal(ci_result_stdout(result, NULL), wanted);
    ci_result_free(result);
}

void make_uploads(int count) {
    for (int i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "uploads/%02d.txt", i);
        write_here(name, name);
    }
}

void hold(void) {
    logged.beats = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(logged.beats > 0);
}

void beat(int steps) {
    assert_int_equal(eventfd_write(logged.beats, steps), 0);
}

void hold_no_more(void) {
    close(logged.beats);
    logged.beats = 0;
}

int beat_until_done(ci_call *call) {
    int beats = 0;
    struct pollfd fd = {.fd = ci_call_fd(call), .events = POLLIN};
    for (int32_t r = CI_CALL_RUNNING; r == CI_CALL_RUNNING; r = ci_call_process(call))
        if (poll(&fd, 1, 0) == 0) {
            beat(1);
            beats++;
        }
    return beats;
}

static void keep_impl(void *impl) {
    (void)impl;
}

ci_sandbox *disguised(const ci_sandbox_ops *ops) {
    ci_sandbox_ops changed = *ops;
    ci_sandbox *result = NULL;
    changed.free = keep_impl;
    assert_int_equal(ci_sandbox_new(&changed, cii_sandbox_impl(sandbox), &result, NULL), CI_OK);
    return result;
}
