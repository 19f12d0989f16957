/* A profile's credential_process: a program that prints credentials as JSON. It runs as this user, outside of any sandbox,
 * with the environment that was handed in, for a bounded time; what it prints is bounded too.
 *
 *     sh -c '"$@" >&3 2>&4; echo $? >&5' sh PROGRAM ARGUMENT…
 *
 * The shell looks the program up in PATH and says how it ended, which we could not learn: it is no child of ours. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "aws/resolve.h"
#include "aws/secret.h"
#include "base/str.h"
#include "os/process.h"

#define SCRIPT "\"$@\" >&3 2>&4 3>&- 4>&- 5>&-; echo $? >&5"
#define LINE_MAX_BYTES 4096
#define ARGUMENTS_MAX 64
#define TIMEOUT_MS 60000
#define STDERR_KEPT 500

enum { OUT, ERR, STATUS, PIPES };

typedef struct run {
    ci_op base;
    aws_resolver *resolver;
    int epoll_fd, timer_fd, pidfd, pipes[PIPES];
    pid_t pid;
    cii_buf text[PIPES];
} run;

/* --- the command line --------------------------------------------------------------------------------------------- */

/* One word from *at, written to `to`, which is as long as what is left. False when a quote is not closed. */
static bool split_word(const char **at, char *to) {
    char quote = '\0';
    const char *p = *at;
    for (; *p && (quote || !strchr(" \t\n", *p)); p++) {
        if (*p == quote)
            quote = '\0';
        else if (!quote && (*p == '\'' || *p == '"'))
            quote = *p;
        else if (*p == '\\' && p[1] && (!quote || (quote == '"' && strchr("\\\"", p[1]))))
            *to++ = *++p;
        else
            *to++ = *p;
    }
    *to = '\0';
    *at = p;
    return quote == '\0';
}

ci_status cii_aws_split(const char *line, char ***ret_argv, ci_error **ret_error) {
    size_t size = strlen(line), count = 0;
    if (size > LINE_MAX_BYTES)
        return cii_error_set(ret_error, CI_ERR_LIMIT, AWS_DOMAIN, "the command has %zu bytes, at most %d", size,
                             LINE_MAX_BYTES);
    _cleanup_strv_ char **argv = calloc(ARGUMENTS_MAX + 1, sizeof *argv);
    _cleanup_free_ char *word = malloc(size + 1);
    if (!argv || !word)
        return cii_error_nomem(ret_error);
    for (const char *at = line + strspn(line, " \t\n"); *at; at += strspn(at, " \t\n")) {
        if (count == ARGUMENTS_MAX)
            return cii_error_set(ret_error, CI_ERR_LIMIT, AWS_DOMAIN, "the command has more than %d words",
                                 ARGUMENTS_MAX);
        if (!split_word(&at, word))
            return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "the command has a quote that is not closed");
        if (!(argv[count++] = strdup(word)))
            return cii_error_nomem(ret_error);
    }
    if (count == 0)
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "the command is empty");
    *ret_argv = TAKE_PTR(argv);
    return CI_OK;
}

/* --- while it runs ------------------------------------------------------------------------------------------------ */

static int32_t run_fd(ci_op *op) {
    return ((run *)op)->epoll_fd;
}

static bool has_ended(const run *p) {
    return cii_fd_wait(p->pidfd, POLLIN, 0) > 0;
}

/* Its group has its number while the shell, whose number it is, has not ended. */
static void end(run *p) {
    if (p->pidfd < 0)
        return;
    if (!has_ended(p))
        kill(-p->pid, SIGKILL);
    cii_process_reap_adopted(p->pidfd, 100);
}

static void run_free(ci_op *op) {
    run *p = (run *)op;
    end(p);
    for (int i = 0; i < PIPES; i++) {
        cii_close(p->pipes[i]);
        cii_secret_buf_free(&p->text[i]);
    }
    cii_close(p->pidfd);
    cii_close(p->timer_fd);
    cii_close(p->epoll_fd);
    free(p);
}

/* Takes what there is. A pipe at its end is closed, which takes it out of the epoll set. */
static ci_status drain(run *p, int which, ci_error **ret_error) {
    static const size_t max[PIPES] = {AWS_ANSWER_MAX, STDERR_KEPT, 16};
    char block[4096];
    ssize_t size;
    while (p->pipes[which] >= 0 && (size = read(p->pipes[which], block, sizeof block)) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return CI_OK;
        cii_buf *text = &p->text[which];
        size_t room = max[which] - text->size;
        cii_buf_append(text, block, CII_MIN((size_t)size, room)); /* there is room: reserved at the start */
        OPENSSL_cleanse(block, sizeof block);
        if (which == OUT && (size_t)size > room)
            return cii_error_set(ret_error, CI_ERR_LIMIT, AWS_DOMAIN, "it printed more than %u bytes", AWS_ANSWER_MAX);
    }
    cii_close(TAKE_FD(p->pipes[which]));
    return CI_OK;
}

static ci_status exit_error(run *p, const char *status_text, ci_error **ret_error) {
    const char *said = p->text[ERR].data ? p->text[ERR].data : "";
    int size = (int)p->text[ERR].size;
    while (size > 0 && said[size - 1] == '\n')
        size--;
    return cii_error_set(ret_error, CI_ERR_IO, AWS_DOMAIN, "it ended with %s%s%.*s", status_text, size > 0 ? ": " : "",
                         size, said);
}

static ci_status judge(run *p, ci_error **ret_error) {
    static const aws_fields fields = {.id = "AccessKeyId",
                                      .secret = "SecretAccessKey",
                                      .token = "SessionToken",
                                      .expiration = "Expiration",
                                      .has_version = true};
    const char *code = p->text[STATUS].data ? p->text[STATUS].data : "";
    char text[40];
    snprintf(text, sizeof text, "exit status %.*s", (int)strspn(code, "0123456789"), code);
    if (*code == '\0')
        return exit_error(p, "a signal", ret_error);
    if (strcmp(code, "0\n") != 0)
        return exit_error(p, text, ret_error);
    return cii_found_of_json(&p->resolver->found, &p->text[OUT], &fields, ret_error);
}

static int32_t run_process(ci_op *op, ci_error **ret_error) {
    run *p = (run *)op;
    bool ended = has_ended(p); /* before the pipes are read: then all it wrote is in them */
    for (int i = 0; i < PIPES; i++) {
        ci_status status = drain(p, i, ret_error);
        if (status < 0)
            return status;
    }
    if (ended) {
        ci_status status = judge(p, ret_error);
        return status < 0 ? status : 1;
    }
    if (cii_fd_wait(p->timer_fd, POLLIN, 0) > 0)
        return cii_error_set(ret_error, CI_ERR_TIMEOUT, AWS_DOMAIN, "it has not ended in time");
    return 0;
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

static const ci_op_ops run_ops = {
    .struct_size = sizeof run_ops, .fd = run_fd, .process = run_process, .free = run_free};

static bool watch(const run *p, int fd) {
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool set_timer(run *p, int64_t timeout_ms) {
    struct itimerspec spec = {.it_value = {timeout_ms / 1000, timeout_ms % 1000 * 1000000}};
    p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return p->timer_fd >= 0 && timerfd_settime(p->timer_fd, 0, &spec, NULL) == 0 && watch(p, p->timer_fd);
}

static ci_status spawn(run *p, char **command, ci_error **ret_error) {
    int theirs[PIPES] = {-1, -1, -1};
    const char *argv[ARGUMENTS_MAX + 5] = {"sh", "-c", SCRIPT, "sh"};
    for (size_t i = 0; command[i]; i++)
        argv[4 + i] = command[i];
    bool ready = true;
    for (int i = 0; i < PIPES && ready; i++) {
        int ends[2];
        ready = pipe2(ends, O_CLOEXEC) == 0;
        if (ready) {
            p->pipes[i] = ends[0];
            theirs[i] = ends[1];
            ready = cii_fd_set_nonblock(ends[0], true) == 0 && watch(p, ends[0]);
        }
    }
    ci_status status = ready ? cii_process_spawn("/bin/sh", argv, p->resolver->options->environment, theirs, PIPES,
                                                 &p->pid, &p->pidfd, ret_error)
                             : cii_error_errno(ret_error, errno, AWS_DOMAIN, "make pipes");
    for (int i = 0; i < PIPES; i++)
        cii_close(theirs[i]);
    return status;
}

static ci_status start(run *p, char **command, ci_error **ret_error) {
    int64_t timeout_ms = p->resolver->options->process_timeout_ms;
    if (cii_buf_reserve(&p->text[OUT], AWS_ANSWER_MAX, NULL) < 0 ||
        cii_buf_reserve(&p->text[ERR], STDERR_KEPT, NULL) < 0 || cii_buf_reserve(&p->text[STATUS], 16, NULL) < 0)
        return cii_error_nomem(ret_error);
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->epoll_fd < 0 || !set_timer(p, timeout_ms > 0 ? timeout_ms : TIMEOUT_MS))
        return cii_error_errno(ret_error, errno, AWS_DOMAIN, "watch it");
    ci_status status = spawn(p, command, ret_error);
    if (status == CI_OK && !watch(p, p->pidfd))
        status = cii_error_errno(ret_error, errno, AWS_DOMAIN, "watch it");
    return status;
}

static ci_status process_start(aws_resolver *r, ci_error **ret_error) {
    _cleanup_strv_ char **command = NULL;
    ci_status status = cii_aws_split(cii_resolve_setting(r, "credential_process"), &command, ret_error);
    if (status < 0)
        return status;
    run *p = calloc(1, sizeof *p);
    if (!p)
        return cii_error_nomem(ret_error);
    *p = (run){.base.ops = &run_ops, .resolver = r, .epoll_fd = -1, .timer_fd = -1, .pidfd = -1, .pipes = {-1, -1, -1}};
    status = start(p, command, ret_error);
    if (status < 0)
        run_free(&p->base);
    else
        r->op = &p->base;
    return status;
}

static ci_status process_answered(aws_resolver *r, ci_error **ret_error) {
    (void)r, (void)ret_error;
    return CI_OK; /* the operation has filled r->found */
}

const aws_source cii_process_source = {process_start, process_answered};
