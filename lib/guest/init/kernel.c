/* Kernels: the processes that keep a context's variables. The interpreter forks those of its own language (zygote.c), the
 * others are programs; here they get code, one job after the other, and their output goes to the job that runs, or to a
 * log between jobs. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/str.h"
#include "guest/init/guest.h"
#include "guest/init/serve.h"
#include "os/fd.h"
#include <ci/result.h>
#include <ci/sys/sandbox.h>

#define KERNELS_MAX 32
#define NEWS_MAX (64u << 10) /* of what was installed, from one kernel */
#define MEMORY_LOST 71       /* a kernel's exit status when it has no memory left to answer with */
#define SETTLE_MS 200        /* code may have blocked the signal: then nothing is on its way */
/* A kernel that listens hears of an interrupt this long before the programs of its cell: when it finds ended what it waits
 * for, its code must not go on. Node, ended just as the cell is over, is hit in code of its own and aborts. */
#define AHEAD_MS 50
#define REPEAT_MS 250 /* how often programs of a cell are told of its interrupt */
#define CHANNEL_FD 3
#define HEAP_LIMIT "--max-old-space-size=" /* gets the session's memory, in MiB */
#define NODE                                                                                       \
    (const char *const[]) {                                                                        \
        "node", "--no-force-async-hooks-checks", "--experimental-import-meta-resolve", HEAP_LIMIT, \
            "/opt/libci/guest/node/main.js", NULL                                                  \
    }
#define NODE_TYPESCRIPT "/opt/libci/guest/node/node_modules/typescript/package.json"
#define NODE_MISSING "there is no node in the session's PATH: JavaScript and TypeScript need Node 18 or later"
#define BASH                                                                 \
    (const char *const[]) {                                                  \
        "python3", "-I", "-S", "-B", "/opt/libci/guest/bash/kernel.py", NULL \
    }
#define BASH_MISSING "there is no python3 in the session's PATH: the Bash kernel needs it"
#define OWNER(w, type, member) ((type *)(void *)((char *)(w)-offsetof(type, member)))

/* Languages of one kernel share its variables. */
static const struct language {
    const char *name;
    const char *kernel;
    const char *const *program;
    const char *missing;   /* what a call is told when there is no such program */
    uint64_t capabilities; /* CI_CAP_ bits of a session that has it */
    const char *needs;     /* besides: a file's path, or a program in PATH; NULL: nothing */
    const char *ready;     /* one more argument for a kernel that is kept ready for it; NULL: none */
} languages[] = {
    {"python", "python", NULL, NULL, CI_CAP_PYTHON, NULL, NULL},
    {"javascript", "javascript", NODE, NODE_MISSING, CI_CAP_JAVASCRIPT, NULL, NULL},
    {"typescript", "javascript", NODE, NODE_MISSING, CI_CAP_TYPESCRIPT | CI_CAP_TYPECHECK, NODE_TYPESCRIPT,
     "--typescript"},
    {"bash", "bash", BASH, BASH_MISSING, CI_CAP_BASH, "bash", NULL},
};

/* --- output -------------------------------------------------------------------------------------------------------- */

static void kernel_output(stream *s, const void *data, size_t size) {
    kernel *k = s->owner;
    if (k->job == NULL) {
        log_append(&k->background, data, size);
        return;
    }
    if (s->type == CII_WIRE_STDOUT)
        k->job->stdout_bytes += size;
    job_send(k->job, s->type, data, size);
}

static void drain_streams(kernel *k) {
    for (int i = 0; i < 2; i++)
        if (k->streams[i] != NULL)
            stream_drain(k->streams[i]);
}

/* --- the channel --------------------------------------------------------------------------------------------------- */

static void channel_flush(kernel *k) {
    while (k->out.size > 0) {
        ssize_t size = send(k->channel.fd, k->out.data, k->out.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            break;
        cii_buf_consume(&k->out, (size_t)size);
    }
    watch_set(k->g, &k->channel, k->out.size > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void kernel_acknowledge(kernel *k) {
    k->ack_wanted = false;
    cii_wire_frame(&k->out, CII_WIRE_ITEM_ACK, 0, NULL, 0);
    channel_flush(k);
}

static void run_next(kernel *k);

static void job_over(kernel *k) {
    job *j = k->job;
    k->job = NULL;
    k->state = KERNEL_IDLE;
    k->repeats_ms = 0;
    for (int i = 0; i < 2; i++)
        stream_pause(k->streams[i], false);
    if (j->interrupted) {
        tag_kill(j->tag, k->pid);
        k->settles_ms = cii_clock_ms() + SETTLE_MS;
    }
}

/* Whether a SIGINT was sent that the process has not answered yet: it is pending, or its handler runs. */
static bool interrupt_on_its_way(pid_t pid) {
    char path[32], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : cii_fd_read_all(fd, text, sizeof text - 1);
    if (size <= 0)
        return false;
    text[size] = 0;
    const char *at = strstr(text, "ShdPnd:");
    return strstr(text, "\nState:\tR") != NULL ||
           (at != NULL && (strtoull(at + strlen("ShdPnd:"), NULL, 16) & (1u << (SIGINT - 1))) != 0);
}

/* An interrupt that came as its cell ended must not hit the next: that is sent when the kernel, which ignores interrupts
 * while it waits, has taken it and waits again. */
void kernel_settle(kernel *k) {
    if (k->pid > 0 && cii_clock_ms() < k->settles_ms && interrupt_on_its_way(k->pid))
        return;
    k->settles_ms = 0;
    run_next(k);
}

/* Who made a spare is told when nothing is on its way any more. */
static void tell_ready(guest *g) {
    _cleanup_buf_ cii_buf message = {0};
    if (g->spec->kernels == 0 || g->setup.fd < 0)
        return;
    for (const kernel *k = g->kernels; k != NULL; k = k->next)
        if (k->wanted || k->warming || k->state == KERNEL_STARTING)
            return;
    cii_wire_frame(&message, CII_SETUP_KERNELS_READY, 0, NULL, 0);
    cii_fd_send(g->setup.fd, message.data, message.size, NULL, 0, MSG_DONTWAIT);
}

static void on_ready(kernel *k, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_FIELD_INFO && k->info == NULL)
            k->info = strndup((const char *)field.data, field.size);
        else if (field.key == CII_FIELD_LISTENS)
            k->listens = cii_wire_int(&field) != 0;
        else if (field.key == CII_FIELD_WARMING)
            k->warming = cii_wire_int(&field) != 0;
    k->state = KERNEL_IDLE;
    job *j = k->job;
    if (j != NULL && j->kind == CI_RUN_KIND_CLEAR) { /* waits for this */
        k->job = NULL;
        k->lost = false;
        job_done(j, &(done_info){.state_lost = true});
    }
    tell_ready(k->g);
    run_next(k);
}

/* DONE, and with it the news that variables were lost between calls. */
static void send_done(kernel *k, job *j, const uint8_t *data, size_t size) {
    _cleanup_buf_ cii_buf message = {0};
    cii_buf_append(&message, data, size);
    if (k->lost)
        cii_wire_put_int(&message, CII_FIELD_STATE_LOST, 1);
    k->lost = false;
    job_done_message(j, message.data, message.size);
}

/* A kernel has told, or cannot any more, what became of its modules. */
static void check_over(kernel *k, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    job *j = k->g->jobs;
    while (j != NULL && j->tag != k->check_tag)
        j = j->next;
    k->check_tag = 0;
    if (j == NULL || j->state != JOB_ENDING)
        return;
    while (size <= NEWS_MAX && cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_FIELD_REPLACED || field.key == CII_FIELD_INSTALLED)
            cii_wire_put(&j->news, field.key, field.data, field.size);
    if (--j->checks == 0)
        j->ends_ms = 0;
}

int kernels_check(guest *g, const job *j) {
    int count = 0;
    for (kernel *k = g->kernels; k != NULL; k = k->next) {
        if (k->program != NULL || k->state != KERNEL_IDLE || k->channel.fd < 0 || k->check_tag != 0)
            continue; /* one that runs code looks by itself, at the end of it */
        k->check_tag = j->tag;
        cii_wire_frame(&k->out, CII_WIRE_CHECK, 0, NULL, 0);
        channel_flush(k);
        count++;
    }
    return count;
}

uint64_t packages_stamp(const session_spec *spec) {
    uint64_t stamp = 0;
    for (size_t i = 0; spec->packages[i] != NULL; i++) {
        struct stat st = {0};
        if (stat(spec->packages[i], &st) == 0)
            stamp = stamp * 31 + (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
    }
    return stamp;
}

static int on_message(void *user, uint8_t type, const uint8_t *data, size_t size) {
    kernel *k = user;
    if (type == CII_WIRE_READY && k->state == KERNEL_STARTING) {
        on_ready(k, data, size);
    } else if (type == CII_WIRE_WARM && k->warming) {
        k->warming = false;
        tell_ready(k->g);
    } else if (type == CII_WIRE_CHECKED && k->check_tag != 0) {
        check_over(k, data, size);
    } else if (type == CII_WIRE_ITEM && k->state == KERNEL_RUNNING && !k->ack_wanted && k->out.size == 0) {
        /* Only one that has read all it was sent: what waits here is outside the session's memory limit. */
        drain_streams(k);
        k->ack_wanted = true;
        job_send_item(k->job, data, size);
        if (k->ack_wanted && !job_congested(k->job))
            kernel_acknowledge(k);
    } else if (type == CII_WIRE_DONE && k->state == KERNEL_RUNNING) {
        if (k->killed) /* its answer came too late: the job is over when the process has been reaped, with its state */
            return 0;
        job *j = k->job;
        drain_streams(k);
        job_over(k);
        send_done(k, j, data, size);
        if (k->settles_ms == 0)
            run_next(k);
        else
            kernel_settle(k);
    } else {
        return -1;
    }
    return 0;
}

/* The channel is closed or broken. In mid-cell the process ends by itself (it executed another program, say), or at the
 * deadline; at any other time nothing would end it, and the next call would wait for ever. */
static void channel_broken(kernel *k, bool misbehaved) {
    watch_close(k->g, &k->channel);
    if (k->pid > 0 && (misbehaved || k->state != KERNEL_RUNNING))
        kill(k->pid, SIGKILL);
}

static void channel_ready(watch *w, uint32_t events) {
    static char chunk[64u << 10];
    kernel *k = OWNER(w, kernel, channel);
    if (events & EPOLLOUT)
        channel_flush(k);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t size = recv(w->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0)
        channel_broken(k, false);
    else if (cii_wire_reader_feed(&k->reader, chunk, (size_t)size) != 0)
        channel_broken(k, true);
}

/* --- running ------------------------------------------------------------------------------------------------------- */

static void copy_fields(cii_buf *to, const job *j) {
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next((const uint8_t *)j->start.data, j->start.size, &cursor, &field) == 1)
        if (field.key == CII_FIELD_TEXT || field.key == CII_FIELD_LANGUAGE || field.key == CII_FIELD_CWD ||
            field.key == CII_FIELD_ENV || field.key == CII_FIELD_FLAGS)
            cii_wire_put(to, field.key, field.data, field.size);
}

/* Code that is to find a kernel without variables. */
static bool clears(const job *j) {
    cii_wire_field flags;
    return j->kind == CI_RUN_KIND_CODE && job_field(j, CII_FIELD_FLAGS, &flags) &&
           (cii_wire_int(&flags) & CI_RUN_CLEAR_CONTEXT) != 0;
}

/* What waits first in the queue is not for this process, which is ended for it, but for the next, or for none. */
static bool must_end(const kernel *k) {
    const job *j = k->queue;
    return j != NULL && (j->kind != CI_RUN_KIND_CODE || (k->used && clears(j)));
}

static void run_job(kernel *k, job *j) {
    drain_streams(k); /* what was printed until now is background */
    k->job = j;
    k->state = KERNEL_RUNNING;
    k->used = true;
    k->lost = k->lost && !clears(j);
    j->state = JOB_RUNNING;
    j->started_us = cii_clock_us();
    job_send_log(j, CII_WIRE_BACKGROUND, &k->background, true);
    tag_set(k->pid, j->tag);
    cii_wire_mark mark;
    cii_wire_begin(&k->out, CII_WIRE_EXEC, &mark);
    copy_fields(&k->out, j);
    cii_wire_put_int(&k->out, CII_FIELD_CALL, (int64_t)j->tag);
    cii_wire_end(&k->out, &mark);
    cii_buf_free(&j->start);
    channel_flush(k);
}

static job *dequeue(kernel *k) {
    job *j = k->queue;
    if (j != NULL) {
        k->queue = j->queue_next;
        if (k->queue == NULL)
            k->queue_last = NULL;
        j->queue_next = NULL;
    }
    return j;
}

static void run_next(kernel *k) {
    if (k->state != KERNEL_IDLE || k->channel.fd < 0 || k->queue == NULL || k->settles_ms != 0)
        return;
    if (must_end(k))
        kill(k->pid, SIGKILL); /* go on when it is reaped */
    else
        run_job(k, dequeue(k));
}

void kernel_submit(kernel *k, job *j) {
    j->state = JOB_QUEUED;
    *(k->queue_last != NULL ? &k->queue_last->queue_next : &k->queue) = j;
    k->queue_last = j;
    if (k->state == KERNEL_DOWN)
        kernel_start(k);
    run_next(k);
}

/* Takes a job that has not begun out of the queue and says so. */
static bool withdraw(kernel *k, job *j) {
    if (j->state != JOB_QUEUED)
        return false;
    job *previous = NULL;
    for (job *at = k->queue; at != j && at != NULL; at = at->queue_next)
        previous = at;
    *(previous != NULL ? &previous->queue_next : &k->queue) = j->queue_next;
    if (k->queue_last == j)
        k->queue_last = previous;
    j->started_us = 0;
    job_done(j, &(done_info){.outcome = CI_OUTCOME_INTERRUPTED,
                             .name = "Interrupted",
                             .message = "interrupted before its turn came; it did not run"});
    return true;
}

void kernel_interrupt(kernel *k, job *j) {
    if (withdraw(k, j) || k->job != j || k->pid <= 0)
        return;
    if (k->listens) {
        cii_wire_frame(&k->out, CII_WIRE_INTERRUPT, 0, NULL, 0);
        channel_flush(k);
        k->repeats_ms = cii_clock_ms() + AHEAD_MS;
    } else {
        kill(k->pid, SIGINT);
        tag_signal(j->tag, k->pid, SIGINT);
        k->repeats_ms = k->program != NULL ? cii_clock_ms() + REPEAT_MS : 0;
    }
    kill(k->pid, SIGCONT); /* it may have stopped itself */
}

/* The shell that a kernel drives: it has had its interrupt, and must not be hit again while it answers that. */
static pid_t child_of(pid_t pid) {
    char path[64], text[32];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : cii_fd_read_all(fd, text, sizeof text - 1);
    if (size <= 0)
        return pid;
    text[size] = 0;
    return (pid_t)atol(text);
}

/* A program that started just as the interrupt came may not have heard of it, and one that a shell was starting may have
 * run the shell's handler. Node and Bash would wait for it; in Python the code decides, and may start programs to clean
 * up. */
void kernel_interrupt_programs(kernel *k) {
    if (cii_clock_ms() < k->repeats_ms)
        return;
    tag_signal(k->job->tag, k->listens ? k->pid : child_of(k->pid), SIGINT);
    k->repeats_ms = cii_clock_ms() + REPEAT_MS;
}

void kernel_kill(kernel *k, job *j) {
    if (withdraw(k, j) || k->job != j || k->pid <= 0)
        return;
    k->killed = true;
    kill(k->pid, SIGKILL); /* first: or it finds a child ended that it waits for, and says that the cell is over */
    tag_kill(j->tag, k->pid);
}

/* Somebody stopped the kernel. Before it has read its request it was not its cell that did so: then it goes on. */
void kernel_stopped(kernel *k) {
    int unread = 0;
    if (k->state != KERNEL_RUNNING || (ioctl(k->channel.fd, SIOCOUTQ, &unread) == 0 && unread > 0))
        kill(k->pid, SIGCONT);
}

void kernel_replace(kernel *k, job *j) {
    bool idle = k->job == NULL && (k->state == KERNEL_DOWN || k->state == KERNEL_STARTING);
    if (idle && j->kind == CI_RUN_KIND_CLEAR) {
        k->job = j;
        j->state = JOB_RUNNING;
        if (k->state == KERNEL_DOWN)
            kernel_start(k);
        return;
    }
    if (idle && k->state == KERNEL_DOWN && k->queue == NULL) {
        k->removed = true;
        k->wanted = false;
        job_done(j, &(done_info){0});
        return;
    }
    if (k->job != NULL) { /* it ends as lost, and its slot is taken when the process is reaped */
        k->job->interrupted = true;
        tag_kill(k->job->tag, k->pid);
    }
    j->state = JOB_QUEUED;
    j->queue_next = k->queue;
    k->queue = j;
    if (k->queue_last == NULL)
        k->queue_last = j;
    if (k->pid > 0)
        kill(k->pid, SIGKILL);
}

/* --- beginning and end --------------------------------------------------------------------------------------------- */

static const struct language *find_language(const char *name) {
    for (size_t i = 0; i < CII_ELEMENTS(languages); i++)
        if (strcmp(languages[i].name, name) == 0)
            return &languages[i];
    return NULL;
}

/* Where in the session's PATH a program is; NULL: nowhere. */
static char *find_program(const session_spec *spec, const char *name) {
    const char *path = "";
    for (char **entry = spec->env; *entry != NULL; entry++)
        if (cii_str_starts(*entry, "PATH="))
            path = *entry + strlen("PATH=");
    while (*path != 0) {
        size_t size = strcspn(path, ":");
        char *found = cii_str_printf("%.*s/%s", (int)size, path, name);
        if (found != NULL && access(found, X_OK) == 0)
            return found;
        free(found);
        path += size + (path[size] == ':');
    }
    return NULL;
}

static bool has(const session_spec *spec, const char *what) {
    if (what == NULL || *what == '/')
        return what == NULL || access(what, R_OK) == 0;
    _cleanup_free_ char *program = find_program(spec, what);
    return program != NULL;
}

uint64_t kernel_languages(const session_spec *spec) {
    uint64_t found = 0;
    for (size_t i = 0; i < CII_ELEMENTS(languages); i++) {
        const struct language *language = &languages[i];
        _cleanup_free_ char *program = language->program != NULL ? find_program(spec, language->program[0]) : NULL;
        if ((language->program == NULL || program != NULL) && has(spec, language->needs))
            found |= language->capabilities;
    }
    return found;
}

static bool is_kept_ready(const session_spec *spec, const struct language *language) {
    return (spec->kernels & language->capabilities) != 0;
}

/* Its arguments, with the path of the program before them; NULL-ended. Of a language's contexts only its own is kept
 * ready. */
static char **program_of(const session_spec *spec, const struct language *language, bool has_context) {
    size_t count = cii_strv_count(language->program), languages_count = CII_ELEMENTS(languages);
    char *file = find_program(spec, language->program[0]);
    char **program = file != NULL ? calloc(count + languages_count + 2, sizeof *program) : NULL;
    if (program == NULL) {
        free(file);
        return NULL;
    }
    program[0] = file;
    for (size_t i = 0; i < count; i++)
        program[i + 1] = strcmp(language->program[i], HEAP_LIMIT) == 0
                             ? cii_str_printf(HEAP_LIMIT "%" PRIu64, spec->memory_bytes >> 20)
                             : strdup(language->program[i]);
    for (const struct language *at = languages; at < languages + languages_count && !has_context; at++)
        if (at->ready != NULL && strcmp(at->kernel, language->kernel) == 0 && is_kept_ready(spec, at))
            program[++count] = strdup(at->ready);
    return program;
}

kernel *kernel_get(guest *g, const char *language_name, const char *context, bool make, const char **ret_why) {
    const struct language *language = find_language(language_name);
    char name[160];
    size_t count = 0;
    if (language == NULL) {
        *ret_why = "this language has no kernel here";
        return NULL;
    }
    bool has_context = context != NULL && *context != 0;
    snprintf(name, sizeof name, "%s%s%s", language->kernel, has_context ? "/" : "", has_context ? context : "");
    for (kernel *k = g->kernels; k != NULL; k = k->next, count++)
        if (!k->removed && strcmp(k->name, name) == 0)
            return k;
    if (!make) {
        *ret_why = "there is no such context";
        return NULL;
    }
    kernel *k = count < KERNELS_MAX ? calloc(1, sizeof *k) : NULL;
    if (k == NULL) {
        *ret_why = "too many contexts: a session has 32 at most; remove one";
        return NULL;
    }
    char **program = language->program != NULL ? program_of(g->spec, language, has_context) : NULL;
    if (language->program != NULL && program == NULL) {
        free(k);
        *ret_why = language->missing;
        return NULL;
    }
    *k = (kernel){.g = g, .next = g->kernels, .name = strdup(name), .program = program, .channel.fd = -1};
    g->kernels = k;
    return k;
}

/* Frees the kernels that were removed and that no call refers to. */
void kernels_sweep(guest *g) {
    for (kernel **at = &g->kernels; *at != NULL;) {
        kernel *k = *at;
        bool held = !k->removed;
        for (const job *j = g->jobs; j != NULL && !held; j = j->next)
            held = j->kernel == k;
        if (held) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        cii_strv_free(k->program);
        cii_buf_free(&k->background.bytes);
        free(k->name);
        free(k);
    }
}

void kernels_keep_ready(guest *g) {
    const char *why;
    for (const struct language *at = languages; at < languages + CII_ELEMENTS(languages); at++) {
        kernel *k =
            at->program != NULL && is_kept_ready(g->spec, at) ? kernel_get(g, at->name, NULL, true, &why) : NULL;
        if (k != NULL && k->state == KERNEL_DOWN)
            kernel_start(k);
    }
}

/* Between vfork and exec init's memory is shared: nothing here may leave a trace in it. Of init's descriptors only those
 * given survive the exec. */
static pid_t spawn_program(const kernel *k, const int fds[3], int null) {
    const guest *g = k->g;
    pid_t pid = vfork();
    if (pid != 0)
        return pid;
    int channel = fcntl(fds[0], F_DUPFD_CLOEXEC, CHANNEL_FD + 1), in = fcntl(null, F_DUPFD_CLOEXEC, CHANNEL_FD + 1),
        out = fcntl(fds[1], F_DUPFD_CLOEXEC, CHANNEL_FD + 1), err = fcntl(fds[2], F_DUPFD_CLOEXEC, CHANNEL_FD + 1);
    guest_confine(g->spec, false);
    signal(SIGPIPE, SIG_DFL); /* the interpreter ignores these two */
    signal(SIGXFSZ, SIG_DFL);
    if (chdir(GUEST_ROOT) < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 ||
        dup2(channel, CHANNEL_FD) < 0)
        _exit(125);
    execve(k->program[0], k->program + 1, g->spec->env);
    _exit(127);
}

/* Makes the ends of channel and pipes, then starts the program or has the interpreter fork. */
void kernel_start(kernel *k) {
    guest *g = k->g;
    int channel[2];
    k->wanted = true;
    if (g->fork_wanted != NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
        return;
    cii_fd_set_nonblock(channel[0], true);
    k->channel = (watch){.ready = channel_ready, .fd = channel[0]};
    watch_set(g, &k->channel, EPOLLIN);
    cii_wire_reader_init(&k->reader, CII_WIRE_ITEM_MAX + (1u << 20), on_message, k);
    g->fork_fds[0] = channel[1];
    for (int i = 0; i < 2; i++) {
        k->streams[i] = calloc(1, sizeof *k->streams[i]);
        g->fork_fds[i + 1] = stream_open(g, k->streams[i], i == 0 ? CII_WIRE_STDOUT : CII_WIRE_STDERR);
        k->streams[i]->sink = kernel_output;
        k->streams[i]->owner = k;
    }
    k->state = KERNEL_STARTING;
    k->wanted = false;
    k->oom_before = oom_count(g->spec);
    g->fork_wanted = k;
    if (k->program == NULL)
        return;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rusage own;
    k->peak_before = getrusage(RUSAGE_SELF, &own) == 0 ? (uint64_t)own.ru_maxrss << 10 : 0;
    pid_t pid = spawn_program(k, g->fork_fds, null);
    cii_close(null);
    if (pid > 0)
        process_mark_oom(pid);
    kernel_forked(g, pid);
}

void kernel_forked(guest *g, pid_t pid) {
    kernel *k = g->fork_wanted;
    g->fork_wanted = NULL;
    for (int i = 0; i < 3; i++)
        cii_close(TAKE_FD(g->fork_fds[i]));
    k->pid = pid;
    g->start_count++;
    if (pid < 0)
        kernel_ended(k, 1 << 8, 0);
    for (kernel *other = g->kernels; other != NULL; other = other->next)
        if (other->wanted)
            kernel_start(other); /* came while this was being forked */
}

/* In the child: confined, with its channel as CHANNEL_FD and nothing else of init's. */
int kernel_enter(guest *g) {
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int channel = fcntl(g->fork_fds[0], F_DUPFD, 4), out = fcntl(g->fork_fds[1], F_DUPFD, 4),
        err = fcntl(g->fork_fds[2], F_DUPFD, 4);
    guest_confine(g->spec, true); /* now: it needs descriptors of init's, and limits how many there can be */
    if (null < 0 || channel < 0 || out < 0 || err < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 ||
        dup3(channel, CHANNEL_FD, O_CLOEXEC) < 0)
        _exit(125);
    syscall(SYS_close_range, CHANNEL_FD + 1, ~0U, 0);
    prctl(PR_SET_DUMPABLE, 1);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); /* ahead of init when memory is short */
    if (fd >= 0) {
        cii_fd_write_all(fd, "300", 3);
        close(fd);
    }
    return CHANNEL_FD;
}

/* A program that finds no memory for its heap ends by one of these signals (V8 does), as it does for defects: the two are
 * told apart by how much memory the process had. What it had before it executed its program was not its own. */
static bool out_of_memory(const kernel *k, int wait_status, uint64_t peak_bytes) {
    int number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    uint64_t memory_bytes = k->g->spec->memory_bytes;
    bool fatal = number == SIGABRT || number == SIGTRAP || number == SIGILL || number == SIGSEGV;
    return k->program != NULL && fatal && memory_bytes != 0 && peak_bytes > k->peak_before &&
           peak_bytes >= memory_bytes / 4 * 3;
}

/* What a result says when a kernel ended under its cell. */
static void describe_end(done_info *info, const kernel *k, const job *j, int wait_status, uint64_t peak_bytes,
                         char *text, size_t size) {
    done_of_status(info, j, wait_status);
    info->state_lost = true;
    info->message = text;
    if (out_of_memory(k, wait_status, peak_bytes))
        info->outcome = CI_OUTCOME_MEMORY_LIMIT;
    if (WIFSIGNALED(wait_status)) {
        info->name = info->outcome == CI_OUTCOME_MEMORY_LIMIT ? "MemoryLimit" : "Signal";
        snprintf(text, size, "the interpreter was ended by signal %d (%s); variables are lost", WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    } else if (WEXITSTATUS(wait_status) == MEMORY_LOST && !(j->g->spec->limits & CII_LIMIT_MEMORY_CGROUP)) {
        info->outcome = CI_OUTCOME_MEMORY_LIMIT;
        info->name = "MemoryLimit";
        snprintf(text, size, "the interpreter had no memory left to go on with; variables are lost");
    } else {
        info->outcome = CI_OUTCOME_LOST;
        info->name = "KernelLost";
        snprintf(text, size, "the interpreter ended itself with status %d in mid-cell; variables are lost",
                 WEXITSTATUS(wait_status));
    }
}

/* Of a kernel that did not come up the first line it printed says more than how it ended. */
static void describe_start(const kernel *k, int wait_status, char *text, size_t size) {
    const cii_buf *said = &k->background.bytes;
    size_t length = 0;
    while (length < said->size && said->data[length] != '\n')
        length++;
    if (!WIFEXITED(wait_status) || length == 0)
        return;
    snprintf(text, size, "the interpreter ended itself with status %d before it could run code: %.*s",
             WEXITSTATUS(wait_status), (int)CII_MIN(length, size), said->data);
}

void kernel_ended(kernel *k, int wait_status, uint64_t peak_bytes) {
    bool starting = k->state == KERNEL_STARTING, used = k->used;
    job *j = k->job;
    drain_streams(k);
    watch_close(k->g, &k->channel);
    cii_wire_reader_free(&k->reader);
    cii_buf_free(&k->out);
    for (int i = 0; i < 2; i++) {
        stream *s = k->streams[i];
        k->streams[i] = NULL;
        stream_disown(s);
    }
    k->pid = 0;
    k->state = KERNEL_DOWN;
    k->job = NULL;
    if (k->used) /* or there were no variables */
        k->lost = j == NULL && !must_end(k);
    k->used = false;
    k->killed = false;
    if (k->check_tag != 0)
        check_over(k, NULL, 0);
    k->ack_wanted = false;
    k->listens = false;
    k->warming = false;
    k->settles_ms = k->repeats_ms = 0;
    free(k->info);
    k->info = NULL;
    if (j == NULL && starting && !must_end(k)) /* it never came up: who waits is told, and the next call tries again */
        j = dequeue(k);
    if (j != NULL) {
        char text[320];
        done_info info = {0};
        if (starting) /* it may have been killed before the job came */
            j->oom_before = CII_MIN(j->oom_before, k->oom_before);
        describe_end(&info, k, j, wait_status, peak_bytes, text, sizeof text);
        if (k->queue != NULL && k->queue->kind != CI_RUN_KIND_CODE)
            info = (done_info){.outcome = CI_OUTCOME_LOST,
                               .name = "KernelLost",
                               .state_lost = true,
                               .message = k->queue->kind == CI_RUN_KIND_CLEAR
                                              ? "the context was cleared meanwhile; variables are lost"
                                              : "the context was removed meanwhile; variables are lost"};
        if (starting) {
            info.name = "KernelStart";
            describe_start(k, wait_status, text, sizeof text);
        }
        if (j->interrupted)
            tag_kill(j->tag, 0);
        job_done(j, &info);
    }
    if (k->queue != NULL && k->queue->kind == CI_RUN_KIND_CLEAR)
        k->job = dequeue(k);
    if (k->queue != NULL && k->queue->kind == CI_RUN_KIND_REMOVE) {
        job_done(dequeue(k), &(done_info){0});
        k->removed = k->queue == NULL;
    }
    if (!k->removed && (used || k->queue != NULL || k->job != NULL))
        kernel_start(k); /* at once, so that the next call finds it ready; one that did nothing might go on ending */
    tell_ready(k->g);
}
