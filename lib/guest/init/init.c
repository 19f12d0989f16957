/* PID 1 of a session: one epoll loop over the control socket, the calls' connections, the kernels' channels and the
 * pipes of everything that runs. Each call is a job; what it needs is in kernel.c or command.c. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/utf8.h"
#include "guest/init/guest.h"
#include "guest/init/serve.h"
#include "os/fd.h"
#include <ci/result.h>
#include <ci/sys/sandbox.h>

#define CONGESTED (256u << 10) /* a connection with more than this unsent stops its pipes */
#define CHUNK (64u << 10)
#define TASKS_MAX 64 /* beyond that, those that are over and nobody asked for are forgotten */

/* --- watching ------------------------------------------------------------------------------------------------------ */

int watch_set(guest *g, watch *w, uint32_t events) {
    if (w->fd < 0 || w->events == events)
        return 0;
    struct epoll_event event = {.events = events, .data.ptr = w};
    int op = w->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    w->events = events;
    return epoll_ctl(g->epoll_fd, op, w->fd, &event);
}

void watch_close(guest *g, watch *w) {
    if (w->fd < 0)
        return;
    watch_set(g, w, 0);
    cii_close(TAKE_FD(w->fd));
}

#define OWNER(w, type, member) ((type *)(void *)((char *)(w)-offsetof(type, member)))

/* --- streams ------------------------------------------------------------------------------------------------------- */

void log_append(log_ring *log, const void *data, size_t size) {
    if (size > LOG_MAX) {
        log->dropped += size - LOG_MAX;
        data = (const char *)data + (size - LOG_MAX);
        size = LOG_MAX;
    }
    if (log->bytes.size + size > 2 * LOG_MAX) { /* drop in large steps: appending stays cheap */
        size_t surplus = log->bytes.size + size - LOG_MAX;
        surplus = CII_MIN(surplus, log->bytes.size);
        cii_buf_consume(&log->bytes, surplus);
        log->dropped += surplus;
    }
    cii_buf_append(&log->bytes, data, size);
}

static void stream_end(stream *s) {
    watch_close(s->g, &s->watch);
    s->ended = true;
    if (s->end != NULL)
        s->end(s);
}

/* Reads at most `limit` bytes; false when there is nothing more to read now. */
static bool stream_read(stream *s, size_t limit) {
    static char chunk[CHUNK];
    ssize_t size = read(s->watch.fd, chunk, CII_MIN(limit, sizeof chunk));
    if (size > 0) {
        if (s->sink != NULL)
            s->sink(s, chunk, (size_t)size);
        return true;
    }
    if (size == 0 || (errno != EAGAIN && errno != EINTR))
        stream_end(s);
    return false;
}

static void stream_ready(watch *w, uint32_t events _unused_) {
    stream_read(OWNER(w, stream, watch), CHUNK);
}

void stream_drain(stream *s) {
    int left = 0;
    if (s->watch.fd < 0 || ioctl(s->watch.fd, FIONREAD, &left) < 0)
        return;
    while (left > 0 && s->watch.fd >= 0) {
        size_t part = CII_MIN((size_t)left, (size_t)CHUNK);
        if (!stream_read(s, part))
            break;
        left -= (int)part;
    }
}

int stream_open(guest *g, stream *s, uint8_t type) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    cii_fd_set_nonblock(fds[0], true);
    *s = (stream){.g = g, .watch = {.ready = stream_ready, .fd = fds[0]}, .type = type};
    watch_set(g, &s->watch, EPOLLIN);
    return fds[1];
}

void stream_close(stream *s) {
    if (s->g != NULL)
        watch_close(s->g, &s->watch);
}

void stream_pause(stream *s, bool pause) {
    if (s->g != NULL)
        watch_set(s->g, &s->watch, pause ? 0 : EPOLLIN);
}

/* Freed between rounds of the loop, so that no event points at freed memory. */
static void discard_stream(stream *s) {
    s->next = s->g->garbage;
    s->g->garbage = s;
}

void stream_disown(stream *s) {
    s->sink = NULL;
    s->owner = NULL;
    s->end = discard_stream;
    stream_pause(s, false);
    if (s->ended)
        discard_stream(s);
}

/* --- connections --------------------------------------------------------------------------------------------------- */

static void job_host_gone(job *j);

bool job_congested(const job *j) {
    return j->out.size > CONGESTED;
}

static void pause_streams(job *j, bool pause) {
    stream *const *kernel_streams = j->kernel != NULL ? j->kernel->streams : NULL;
    for (int i = 0; i < 2; i++) {
        stream *s = kernel_streams != NULL ? kernel_streams[i] : &j->streams[i];
        if (s != NULL && (kernel_streams == NULL || j->kernel->job == j))
            stream_pause(s, pause);
    }
}

/* The call is over and everything is sent, or nobody listens. A task lives on, and nothing holds its pipes back now. */
static void job_hang_up(job *j) {
    watch_close(j->g, &j->watch);
    cii_buf_free(&j->out);
    pause_streams(j, false);
}

static void job_sent(job *j) {
    if (j->state == JOB_DONE || j->state == JOB_TASK)
        job_hang_up(j);
    else
        watch_set(j->g, &j->watch, EPOLLIN);
    if (j->kernel != NULL && j->kernel->job == j && j->kernel->ack_wanted)
        kernel_acknowledge(j->kernel);
}

static void job_flush(job *j) {
    bool congested = job_congested(j);
    while (j->out.size > 0) {
        ssize_t size = send(j->watch.fd, j->out.data, j->out.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN) {
            watch_set(j->g, &j->watch, EPOLLIN | EPOLLOUT);
            break;
        }
        if (size < 0) {
            job_host_gone(j);
            return;
        }
        cii_buf_consume(&j->out, (size_t)size);
    }
    if (congested && !job_congested(j))
        pause_streams(j, false);
    if (j->out.size == 0)
        job_sent(j);
}

/* Sends head and payload at once when nothing is waiting; keeps what the socket does not take. */
void job_send(job *j, uint8_t type, const void *data, size_t size) {
    if (j->watch.fd < 0)
        return;
    uint8_t head[CII_WIRE_HEAD_SIZE];
    cii_wire_head(head, type, 0, (uint32_t)size);
    size_t sent = 0;
    if (j->out.size == 0) {
        struct iovec parts[] = {{head, sizeof head}, {(void *)(uintptr_t)data, size}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t result = sendmsg(j->watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result < 0 && errno != EAGAIN && errno != EINTR) {
            job_host_gone(j);
            return;
        }
        sent = result < 0 ? 0 : (size_t)result;
        if (sent == sizeof head + size)
            return;
    }
    if (sent < sizeof head)
        cii_buf_append(&j->out, head + sent, sizeof head - sent);
    size_t skip = sent < sizeof head ? 0 : sent - sizeof head;
    cii_buf_append(&j->out, (const char *)data + skip, size - skip);
    watch_set(j->g, &j->watch, EPOLLIN | EPOLLOUT);
    if (job_congested(j))
        pause_streams(j, true);
}

static void job_send_buf(job *j, const cii_buf *frames) {
    if (j->watch.fd < 0)
        return;
    cii_buf_append(&j->out, frames->data, frames->size);
    job_flush(j);
}

void job_send_log(job *j, uint8_t type, log_ring *log, bool more_comes) {
    size_t size = log->bytes.size;
    size -= more_comes ? cii_utf8_incomplete_tail(log->bytes.data, size) : 0;
    if (log->dropped > 0) {
        char text[96];
        snprintf(text, sizeof text, "[... %llu bytes omitted ...]\n", (unsigned long long)log->dropped);
        job_send(j, type, text, strlen(text));
    }
    for (size_t at = 0; at < size; at += CII_WIRE_FRAME_MAX)
        job_send(j, type, log->bytes.data + at, CII_MIN(size - at, (size_t)CII_WIRE_FRAME_MAX));
    if (size < log->bytes.size)
        cii_buf_consume(&log->bytes, size);
    else
        cii_buf_free(&log->bytes);
    log->dropped = 0;
}

void job_send_item(job *j, const void *message, size_t size) {
    _cleanup_buf_ cii_buf frames = {0};
    cii_wire_mark mark;
    cii_wire_begin(&frames, CII_WIRE_ITEM_AT, &mark);
    cii_wire_put_int(&frames, CII_FIELD_OFFSET, (int64_t)j->stdout_bytes);
    cii_wire_end(&frames, &mark);
    cii_wire_begin(&frames, CII_WIRE_ITEM, &mark);
    cii_buf_append(&frames, message, size);
    cii_wire_end(&frames, &mark);
    job_send_buf(j, &frames);
}

void job_done_message(job *j, const void *message, size_t size) {
    _cleanup_buf_ cii_buf frames = {0};
    cii_wire_mark mark;
    cii_wire_begin(&frames, CII_WIRE_DONE, &mark);
    cii_buf_append(&frames, message, size);
    cii_wire_end(&frames, &mark);
    if (j->state != JOB_TASK)
        j->state = JOB_DONE;
    job_send_buf(j, &frames);
}

void job_done(job *j, const done_info *info) {
    _cleanup_buf_ cii_buf fields = {0};
    const struct {
        uint8_t key;
        int64_t value;
    } numbers[] = {
        {CII_FIELD_OUTCOME, info->outcome},
        {CII_FIELD_EXIT_CODE, info->exit_code},
        {CII_FIELD_SIGNAL, info->signal_number},
        {CII_FIELD_STATE_LOST, info->state_lost},
        {CII_FIELD_TASK, (int64_t)info->task},
        {CII_FIELD_TASK_RUNNING, info->task_running},
        {CII_FIELD_EXECUTION_US, j->started_us == 0 ? 0 : cii_clock_us() - j->started_us},
    };
    for (size_t i = 0; i < CII_ELEMENTS(numbers); i++)
        cii_wire_put_int(&fields, numbers[i].key, numbers[i].value);
    cii_wire_put_str(&fields, CII_FIELD_ERROR_NAME, info->name);
    cii_wire_put_str(&fields, CII_FIELD_ERROR_MESSAGE, info->message);
    cii_buf_append(&fields, j->news.data, j->news.size);
    job_done_message(j, fields.data, fields.size);
}

uint64_t oom_count(const session_spec *spec) {
    char text[1024];
    ssize_t size = spec->oom_fd < 0 ? -1 : pread(spec->oom_fd, text, sizeof text - 1, 0);
    if (size <= 0)
        return 0;
    text[size] = 0;
    const char *at = strstr(text, "oom_kill ");
    return at == NULL ? 0 : strtoull(at + strlen("oom_kill "), NULL, 10);
}

void done_of_status(done_info *info, const job *j, int wait_status) {
    if (WIFEXITED(wait_status)) {
        info->exit_code = WEXITSTATUS(wait_status);
        info->outcome = info->exit_code == 0 ? CI_OUTCOME_OK : CI_OUTCOME_EXIT;
        return;
    }
    info->signal_number = WTERMSIG(wait_status);
    info->outcome = CI_OUTCOME_SIGNAL;
    if (info->signal_number == SIGKILL && oom_count(j->g->spec) > j->oom_before)
        info->outcome = CI_OUTCOME_MEMORY_LIMIT;
}

/* --- jobs ---------------------------------------------------------------------------------------------------------- */

bool job_field(const job *j, uint8_t key, cii_wire_field *ret_field) {
    size_t cursor = 0;
    while (cii_wire_next((const uint8_t *)j->start.data, j->start.size, &cursor, ret_field) == 1)
        if (ret_field->key == key)
            return true;
    return false;
}

char *job_field_str(const job *j, uint8_t key) {
    cii_wire_field field;
    return job_field(j, key, &field) ? strndup((const char *)field.data, field.size) : NULL;
}

static job *find_task(guest *g, uint64_t tag) {
    for (job *j = g->jobs; j != NULL; j = j->next)
        if (j->state == JOB_TASK && j->tag == tag)
            return j;
    return NULL;
}

static void send_info(job *j) {
    _cleanup_buf_ cii_buf json = {0};
    const session_spec *spec = j->g->spec;
    cii_buf_printf(&json, "{\"activity\":%llu,\"memoryLimitBy\":\"%s\",\"processLimitBy\":\"%s\",\"kernels\":[",
                   (unsigned long long)guest_activity(j->g, j),
                   spec->limits & CII_LIMIT_MEMORY_CGROUP ? "cgroup, for the session" : "rlimit, for each process",
                   spec->limits & CII_LIMIT_PIDS_CGROUP ? "cgroup" : "rlimit");
    const char *separator = "";
    for (const kernel *k = j->g->kernels; k != NULL; k = k->next) {
        if (k->removed)
            continue;
        cii_buf_printf(&json, "%s{\"name\":\"%s\",\"running\":%s,\"busy\":%s,\"kernel\":%s}", separator, k->name,
                       k->state == KERNEL_DOWN ? "false" : "true", k->state == KERNEL_RUNNING ? "true" : "false",
                       k->info != NULL ? k->info : "null");
        separator = ",";
    }
    cii_buf_append_str(&json, "]}");
    _cleanup_buf_ cii_buf frames = {0};
    cii_wire_mark mark;
    cii_wire_begin(&frames, CII_WIRE_INFO, &mark);
    cii_wire_put(&frames, CII_FIELD_INFO, json.data, json.size);
    cii_wire_end(&frames, &mark);
    job_send_buf(j, &frames);
    job_done(j, &(done_info){0});
}

static void job_refuse(job *j, const char *message) {
    job_done(j, &(done_info){.outcome = CI_OUTCOME_REFUSED, .name = "Refused", .message = message});
}

static void start_on_kernel(job *j) {
    _cleanup_free_ char *language = job_field_str(j, CII_FIELD_LANGUAGE),
                        *context = job_field_str(j, CII_FIELD_CONTEXT);
    const char *why = NULL;
    bool make = j->kind != CI_RUN_KIND_REMOVE;
    j->kernel = kernel_get(j->g, language != NULL ? language : "", context, make, &why);
    if (j->kernel == NULL)
        job_refuse(j, why);
    else if (j->kind == CI_RUN_KIND_CODE)
        kernel_submit(j->kernel, j);
    else
        kernel_replace(j->kernel, j);
}

static void start_task_request(job *j) {
    cii_wire_field field = {0};
    job *task = job_field(j, CII_FIELD_TASK, &field) ? find_task(j->g, (uint64_t)cii_wire_int(&field)) : NULL;
    if (task == NULL)
        job_done(j,
                 &(done_info){.outcome = CI_OUTCOME_REFUSED, .name = "NotFound", .message = "there is no such task"});
    else
        command_poll(j, task, j->kind == CI_RUN_KIND_TASK_STOP);
}

static int job_start(job *j, const uint8_t *data, size_t size) {
    cii_wire_field field;
    if (cii_buf_append(&j->start, data, size) != CI_OK)
        return -1;
    j->kind = job_field(j, CII_FIELD_KIND, &field) ? (int)cii_wire_int(&field) : 0;
    j->oom_before = oom_count(j->g->spec);
    if (j->kind == CI_RUN_KIND_CODE || j->kind == CI_RUN_KIND_COMMAND || j->kind == CI_RUN_KIND_TASK)
        j->g->start_count++;
    switch (j->kind) {
    case CI_RUN_KIND_CODE:
    case CI_RUN_KIND_CLEAR:
    case CI_RUN_KIND_REMOVE:
        start_on_kernel(j);
        return 0;
    case CI_RUN_KIND_COMMAND:
    case CI_RUN_KIND_TASK:
        command_start(j);
        return 0;
    case CI_RUN_KIND_TASK_POLL:
    case CI_RUN_KIND_TASK_STOP:
        start_task_request(j);
        return 0;
    case CII_WIRE_KIND_INFO:
        send_info(j);
        return 0;
    default:
        return -1;
    }
}

static void job_signal(job *j, bool kill) {
    if (j->state != JOB_QUEUED && j->state != JOB_RUNNING && j->state != JOB_ENDING)
        return;
    j->interrupted = true;
    if (j->kernel != NULL)
        (kill ? kernel_kill : kernel_interrupt)(j->kernel, j);
    else
        (kill ? command_kill : command_interrupt)(j);
}

static int job_message(void *user, uint8_t type, const uint8_t *data, size_t size) {
    job *j = user;
    if (type == CII_WIRE_START && j->state == JOB_READING)
        return job_start(j, data, size);
    if (type != CII_WIRE_INTERRUPT && type != CII_WIRE_KILL)
        return -1;
    job_signal(j, type == CII_WIRE_KILL);
    return 0;
}

/* Nobody waits for this call any more: what it runs is killed. */
static void job_host_gone(job *j) {
    job_hang_up(j);
    if (j->state == JOB_READING)
        j->state = JOB_DONE;
    job_signal(j, true);
}

static void job_receive(job *j) {
    static char chunk[CHUNK];
    while (j->watch.fd >= 0 && j->state != JOB_DONE) {
        ssize_t size = recv(j->watch.fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0 || cii_wire_reader_feed(&j->reader, chunk, (size_t)size) != 0) {
            job_host_gone(j);
            return;
        }
        if ((size_t)size < sizeof chunk)
            return;
    }
}

/* The end is on its way: an interrupt that comes now is too late, and only end-of-file means something. */
static void job_ignore(job *j) {
    char chunk[256];
    ssize_t size = recv(j->watch.fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
        job_hang_up(j);
}

static void job_ready(watch *w, uint32_t events) {
    job *j = OWNER(w, job, watch);
    if (events & EPOLLOUT)
        job_flush(j);
    if (j->watch.fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        (j->state == JOB_DONE || j->state == JOB_TASK ? job_ignore : job_receive)(j);
}

static void job_free(job *j) {
    watch_close(j->g, &j->watch);
    cii_wire_reader_free(&j->reader);
    cii_buf_free(&j->out);
    cii_buf_free(&j->start);
    cii_buf_free(&j->news);
    for (int i = 0; i < 2; i++) {
        stream_close(&j->streams[i]);
        cii_buf_free(&j->logs[i].bytes);
    }
    free(j);
}

/* Frees what is over, between rounds of the loop. */
static void sweep(guest *g) {
    while (g->garbage != NULL) {
        stream *s = g->garbage;
        g->garbage = s->next;
        free(s);
    }
    size_t tasks = 0;
    for (job **at = &g->jobs; *at != NULL;) {
        job *j = *at;
        if (j->state == JOB_TASK && ++tasks > TASKS_MAX && task_over(j))
            j->state = JOB_DONE;
        if (j->state == JOB_DONE && j->watch.fd < 0) {
            *at = j->next;
            job_free(j);
        } else {
            at = &j->next;
        }
    }
    kernels_sweep(g);
}

static void control_ready(watch *w, uint32_t events _unused_) {
    guest *g = OWNER(w, guest, control);
    for (;;) {
        uint8_t head[CII_WIRE_HEAD_SIZE];
        int fd = -1;
        size_t count = 0;
        ssize_t size = cii_fd_recv(w->fd, head, sizeof head, &fd, 1, &count, MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0)
            _exit(0); /* the session was closed; with PID 1 all its processes end */
        job *j = count == 1 ? calloc(1, sizeof *j) : NULL;
        if (j == NULL) {
            cii_close(fd);
            continue;
        }
        *j = (job){.g = g, .next = g->jobs, .watch = {.ready = job_ready, .fd = fd}, .tag = ++g->last_tag};
        j->streams[0].watch.fd = j->streams[1].watch.fd = -1;
        cii_wire_reader_init(&j->reader, CII_WIRE_MESSAGE_MAX, job_message, j);
        g->jobs = j;
        watch_set(g, &j->watch, EPOLLIN);
        job_receive(j); /* START is there already, as a rule */
    }
}

/* --- children ------------------------------------------------------------------------------------------------------ */

static void child_changed(guest *g, pid_t pid, int wait_status, const struct rusage *usage) {
    for (kernel *k = g->kernels; k != NULL; k = k->next)
        if (k->pid == pid) {
            if (WIFSTOPPED(wait_status))
                kernel_stopped(k);
            else
                kernel_ended(k, wait_status, (uint64_t)usage->ru_maxrss << 10);
            return;
        }
    for (job *j = g->jobs; j != NULL && !WIFSTOPPED(wait_status); j = j->next)
        if (j->pid == pid) {
            command_ended(j, wait_status);
            return;
        }
}

static void signals_ready(watch *w, uint32_t events _unused_) {
    struct signalfd_siginfo info;
    while (read(w->fd, &info, sizeof info) > 0)
        ;
    int status;
    struct rusage usage;
    for (pid_t pid; (pid = wait4(-1, &status, WNOHANG | WUNTRACED, &usage)) > 0;)
        child_changed(OWNER(w, guest, signals), pid, status, &usage);
}

/* A spare is wanted: SESSION has come, and with it the control socket. */
static void setup_ready(watch *w, uint32_t events _unused_) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    guest *g = OWNER(w, guest, setup);
    cii_wire_frame_head head;
    int fd = -1;
    size_t count = 0;
    ssize_t size;
    do /* reset when the supervisor closes it with our KERNELS_READY unread: what it sent is there all the same */
        size = cii_fd_recv(w->fd, message, sizeof message, &fd, 1, &count, MSG_DONTWAIT);
    while (size < 0 && errno == ECONNRESET);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0 ||
        head.type != CII_SETUP_SESSION || count != 1)
        _exit(0); /* nobody wanted it */
    watch_set(g, w, 0);
    w->fd = -1;
    guest_adopt(g->spec, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
    for (const kernel *k = g->kernels; k != NULL; k = k->next)
        if (k->pid > 0)
            guest_limit_kernel(g->spec, k->pid, k->program == NULL);
    g->spec->control_fd = g->control.fd = fd;
    watch_set(g, &g->control, EPOLLIN);
}

/* --- the loop ------------------------------------------------------------------------------------------------------ */

guest *guest_new(session_spec *spec) {
    guest *g = calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGCHLD, SIG_DFL);
    g->spec = spec;
    g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    g->control = (watch){.ready = control_ready, .fd = spec->control_fd};
    g->setup = (watch){.ready = setup_ready, .fd = spec->setup_fd};
    g->signals = (watch){.ready = signals_ready, .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    g->shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
    if (g->epoll_fd < 0 || watch_set(g, &g->control, EPOLLIN) < 0 || watch_set(g, &g->setup, EPOLLIN) < 0 ||
        watch_set(g, &g->signals, EPOLLIN) < 0)
        return NULL;
    return g;
}

static int next_timeout(const guest *g) {
    int64_t timeout = -1, now = cii_clock_ms();
    for (const job *j = g->jobs; j != NULL; j = j->next)
        if (j->state == JOB_ENDING && !job_congested(j)) { /* congested: woken when there is room */
            int64_t left = CII_MAX(j->ends_ms - now, 0);
            timeout = timeout < 0 ? left : CII_MIN(timeout, left);
        }
    for (const kernel *k = g->kernels; k != NULL; k = k->next) {
        int64_t left = k->settles_ms != 0 ? 1 : CII_MAX(k->repeats_ms - now, 0);
        if (k->settles_ms != 0 || k->repeats_ms != 0)
            timeout = timeout < 0 ? left : CII_MIN(timeout, left);
    }
    return (int)timeout;
}

void guest_serve(guest *g) {
    struct epoll_event events[16];
    while (g->fork_wanted == NULL) {
        int count = epoll_wait(g->epoll_fd, events, CII_ELEMENTS(events), next_timeout(g));
        for (int i = 0; i < count; i++) {
            watch *w = events[i].data.ptr;
            if (w->fd >= 0 && w->events != 0) /* not closed or paused by an event before it */
                w->ready(w, events[i].events);
        }
        for (job *j = g->jobs; j != NULL; j = j->next)
            if (j->state == JOB_ENDING)
                command_tick(j);
        for (kernel *k = g->kernels; k != NULL; k = k->next) {
            if (k->settles_ms != 0)
                kernel_settle(k);
            if (k->repeats_ms != 0)
                kernel_interrupt_programs(k);
        }
        sweep(g);
    }
}
