#include "fake.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

typedef struct fake_backend {
    unsigned flags;
    fake_log *log;
} fake_backend;

typedef struct fake_session_state {
    fake_backend *backend;
    _Atomic int shut;
} fake_session_state;

typedef struct fake_op {
    ci_op op;
    fake_session_state *session;
    const ci_sink *sink;
    char text[64];
    int timer_fd;
    _Atomic int interrupted;
    _Atomic int killed;
    int said;
} fake_op;

static void fire(fake_op *op, long ms) {
    struct itimerspec at = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 + 1}};
    timerfd_settime(op->timer_fd, 0, &at, NULL);
}

static int32_t fake_fd(ci_op *op) {
    return ((fake_op *)op)->timer_fd;
}

static int is(const fake_op *op, const char *word) {
    return strncmp(op->text, word, strlen(word)) == 0;
}

static int32_t finish(fake_op *op, int32_t outcome, const char *name) {
    const ci_run_outcome end = {
        .struct_size = sizeof end,
        .outcome = outcome,
        .error_name = name,
        .error_message = name,
        .signal_number = outcome == CI_OUTCOME_SIGNAL ? 9 : 0,
        .state_lost = outcome == CI_OUTCOME_SIGNAL,
    };
    op->sink->done(op->sink->user, &end);
    return 1;
}

static int32_t fail(ci_status status, const char *message, ci_error **ret_error) {
    const ci_error_fields fields = {
        .struct_size = sizeof fields, .domain = "fake", .message = message, .status = status};
    return ci_error_make(&fields, ret_error);
}

static int32_t fake_process(ci_op *base, ci_error **ret_error) {
    fake_op *op = (fake_op *)base;
    uint64_t fired;
    int due = read(op->timer_fd, &fired, sizeof fired) == sizeof fired;
    if (!op->sink)
        return 1; /* open */
    if (op->session->shut)
        return fail(CI_ERR_LOST, "shut down", ret_error);
    if ((is(op, "say") || is(op, "lost")) && !op->said++)
        op->sink->output(op->sink->user, CI_STREAM_STDOUT, strchr(op->text, ' ') + 1,
                         strlen(strchr(op->text, ' ') + 1));
    if (is(op, "say") || ((is(op, "sleep") || is(op, "hold")) && due && !op->interrupted && !op->killed))
        return finish(op, CI_OUTCOME_OK, NULL);
    if (is(op, "refuse")) {
        for (int32_t port = 1; port <= atoi(op->text + 7); port++)
            op->sink->refusal(op->sink->user, &(ci_refusal){.struct_size = sizeof(ci_refusal),
                                                            .protocol = "tcp",
                                                            .address = "10.0.0.1",
                                                            .port = port,
                                                            .rule = "private",
                                                            .count = port == 1 ? 2 : 1});
        return finish(op, CI_OUTCOME_EXCEPTION, "OSError");
    }
    if (is(op, "lost"))
        return fail(CI_ERR_LOST, "the sandbox is gone", ret_error);
    if (is(op, "fail"))
        return finish(op, CI_OUTCOME_EXCEPTION, "ValueError");
    if (is(op, "memory"))
        return finish(op, CI_OUTCOME_MEMORY_LIMIT, NULL);
    if (op->interrupted && is(op, "caught"))
        return finish(op, CI_OUTCOME_OK, NULL);
    if (op->interrupted && !is(op, "stubborn") && !is(op, "undead"))
        return finish(op, CI_OUTCOME_EXCEPTION, "KeyboardInterrupt");
    if (op->killed && !is(op, "undead"))
        return finish(op, CI_OUTCOME_SIGNAL, "killed");
    return 0;
}

static ci_status fake_interrupt(ci_op *base) {
    fake_op *op = (fake_op *)base;
    op->session->backend->log->interrupts++;
    op->interrupted = 1;
    fire(op, 0);
    return CI_OK;
}

static ci_status fake_kill(ci_op *base) {
    fake_op *op = (fake_op *)base;
    op->session->backend->log->kills++;
    op->killed = 1;
    fire(op, 0);
    return CI_OK;
}

static void fake_op_free(ci_op *base) {
    fake_op *op = (fake_op *)base;
    fake_log *log = op->session->backend->log;
    log->open_ops--;
    if (log->held == op)
        log->held = NULL;
    close(op->timer_fd);
    free(op);
}

static const ci_op_ops can_all = {sizeof can_all, fake_fd, fake_process, fake_interrupt, fake_kill, fake_op_free};
static const ci_op_ops can_kill = {sizeof can_kill, fake_fd, fake_process, NULL, fake_kill, fake_op_free};

static fake_op *op_new(fake_session_state *session) {
    fake_op *op = calloc(1, sizeof *op);
    op->op.ops = session->backend->flags & FAKE_CANNOT_INTERRUPT ? &can_kill : &can_all;
    op->session = session;
    op->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    session->backend->log->open_ops++;
    return op;
}

static void note_rules(char to[64], const char *const *rules) {
    snprintf(to, 64, "%s", rules ? "" : "-");
    for (; rules && *rules; rules++)
        snprintf(to + strlen(to), 64 - strlen(to), "%s,", *rules);
}

static ci_status fake_open(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                           ci_error **ret_error) {
    (void)ret_error;
    note_rules(((fake_backend *)impl)->log->allow, request->network_allow);
    note_rules(((fake_backend *)impl)->log->deny, request->network_deny);
    fake_session_state *session = calloc(1, sizeof *session);
    session->backend = impl;
    session->backend->log->open_sessions++;
    *ret_session = session;
    *ret_op = &op_new(session)->op;
    return CI_OK;
}

static void fake_shutdown(void *session) {
    fake_session_state *state = session;
    state->shut = 1;
    while (state->backend->log->shutdown_waits)
        usleep(1000);
}

static void fake_close(void *session) {
    ((fake_session_state *)session)->backend->log->open_sessions--;
    free(session);
}

static ci_status fake_run(void *impl, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                          ci_error **ret_error) {
    (void)ret_error;
    fake_session_state *session = impl;
    fake_op *op = op_new(session);
    op->sink = sink;
    snprintf(op->text, sizeof op->text, "%s", request->kind == CI_RUN_KIND_CLEAR ? "hold" : request->text);
    fake_log *log = session->backend->log;
    if (is(op, "hold"))
        log->held = op;
    log->order[log->runs++ % 250] = request->text[0];
    if (!is(op, "hold"))
        fire(op, is(op, "sleep") ? atol(op->text + 6) : 0);
    *ret_op = &op->op;
    return CI_OK;
}

static uint64_t fake_capabilities(void *impl, void *session) {
    (void)session;
    unsigned flags = ((fake_backend *)impl)->flags;
    return (flags & FAKE_CANNOT_INTERRUPT ? 0 : CI_CAP_INTERRUPT) |
           (flags & FAKE_INTERNET ? CI_CAP_NETWORK_INTERNET : 0) | (flags & FAKE_POLICY ? CI_CAP_NETWORK_POLICY : 0) |
           CI_CAP_PYTHON | CI_CAP_CONTEXTS | CI_CAP_CLEAR_CONTEXT | CI_CAP_NETWORK_NONE;
}

ci_sandbox *fake_sandbox(unsigned flags, fake_log *log) {
    static const ci_sandbox_ops ops = {
        .struct_size = sizeof ops,
        .name = "fake",
        .free = free,
        .capabilities = fake_capabilities,
        .open = fake_open,
        .shutdown = fake_shutdown,
        .close = fake_close,
        .run = fake_run,
    };
    fake_backend *backend = malloc(sizeof *backend);
    *backend = (fake_backend){.flags = flags, .log = log};
    ci_sandbox *sandbox = NULL;
    return ci_sandbox_new(&ops, backend, &sandbox, NULL) == CI_OK ? sandbox : NULL;
}

void fake_let_go(fake_log *log) {
    fire(log->held, 0);
}

ci_session *fake_session(ci_sandbox *sandbox, int64_t grace_ms, uint32_t flags) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    options.grace_ms = grace_ms;
    options.flags = flags;
    ci_session *session = NULL;
    return ci_session_open(&options, &session, NULL) == CI_OK ? session : NULL;
}

int count_fds(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}
