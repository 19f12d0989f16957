/* Commands: a shell run by init, its output read here. A command whose call is over while it or what it started still
 * runs is a task: its output is kept, up to a limit, until somebody asks for it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/str.h"
#include "guest/init/guest.h"
#include "os/fd.h"
#include <ci/result.h>
#include <ci/sys/sandbox.h>

/* How long the pipes of a shell that has ended may stay open before what holds them counts as a background task: just
 * enough for the end of a process substitution. */
#define ENDING_MS 10
#define CHECK_MS 500 /* that kernels get to say which of their modules were replaced */
/* Linux takes no single argument of more bytes, its NUL included. A longer text comes by a file, which the shell has
 * read and closed before the text begins: in its first line, so that line numbers stay. sh can name no descriptor
 * beyond 9. */
#define ARGUMENT_MAX (128u << 10)
#define TEXT_FD 9
#define READ_TEXT "eval \"exec 9<&-; $(/bin/cat <&9)\""

/* --- output -------------------------------------------------------------------------------------------------------- */

static void command_output(stream *s, const void *data, size_t size) {
    job *j = s->owner;
    if (j->state == JOB_TASK) {
        log_append(&j->logs[s == &j->streams[1]], data, size);
        return;
    }
    if (s->type == CII_WIRE_STDOUT)
        j->stdout_bytes += size;
    job_send(j, s->type, data, size);
}

static bool streams_ended(const job *j) {
    return j->streams[0].watch.fd < 0 && j->streams[1].watch.fd < 0;
}

/* Whether the end is to wait for kernels, because the command has installed something. */
static bool kernels_are_asked(job *j) {
    if (j->checks < 0 && !j->interrupted && packages_stamp(j->g->spec) != j->packages_before) {
        j->checks = kernels_check(j->g, j);
        j->state = JOB_ENDING;
        j->ends_ms = cii_clock_ms() + CHECK_MS;
    }
    return j->checks > 0 && cii_clock_ms() < j->ends_ms;
}

static void finish(job *j) {
    done_info info = {0};
    char text[128];
    stream_drain(&j->streams[0]);
    stream_drain(&j->streams[1]);
    if (kernels_are_asked(j))
        return;
    if (j->interrupted)
        tag_kill(j->tag, 0);
    done_of_status(&info, j, j->wait_status);
    if (info.outcome == CI_OUTCOME_SIGNAL || info.outcome == CI_OUTCOME_MEMORY_LIMIT) {
        snprintf(text, sizeof text, "ended by signal %d (%s)", info.signal_number, strsignal(info.signal_number));
        info.name = "Signal";
        info.message = text;
    } else if (info.outcome == CI_OUTCOME_EXIT && oom_count(j->g->spec) > j->oom_before && info.exit_code == 137) {
        info.outcome = CI_OUTCOME_MEMORY_LIMIT; /* the shell tells of a child that was killed */
        info.name = "MemoryLimit";
        info.message = "killed at the memory limit";
    }
    if (!j->interrupted && (!streams_ended(j) || tag_alive(j->tag, 0))) {
        info.task = j->tag;
        info.task_running = true;
        j->state = JOB_TASK;
    }
    job_done(j, &info);
}

static void stream_ended(stream *s) {
    job *j = s->owner;
    if (j->state == JOB_ENDING && streams_ended(j))
        finish(j);
}

/* --- starting ------------------------------------------------------------------------------------------------------ */

/* The environment of the session with that of the call laid over it: pointers into both. */
static char **merge_env(char **base, char **extra) {
    size_t base_count = cii_strv_count((const char *const *)base), count = 0;
    char **merged = calloc(base_count + cii_strv_count((const char *const *)extra) + 1, sizeof *merged);
    if (merged == NULL)
        return NULL;
    for (size_t i = 0; i < base_count; i++) {
        size_t name = strcspn(base[i], "=") + 1;
        bool hidden = false;
        for (char **at = extra; *at != NULL && !hidden; at++)
            hidden = strncmp(*at, base[i], name) == 0;
        if (!hidden)
            merged[count++] = base[i];
    }
    for (char **at = extra; *at != NULL; at++)
        merged[count++] = *at;
    return merged;
}

static char **call_env(const job *j) {
    cii_wire_field field;
    size_t cursor = 0, count = 0;
    char **env = calloc(j->start.size / 5 + 1, sizeof *env);
    while (env != NULL && cii_wire_next((const uint8_t *)j->start.data, j->start.size, &cursor, &field) == 1)
        if (field.key == CII_FIELD_ENV)
            env[count++] = strndup((const char *)field.data, field.size);
    return env;
}

static int text_file(const char *text) {
    int fd = memfd_create("command", 0);
    if (fd >= 0 && (cii_fd_write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0))
        cii_close(TAKE_FD(fd));
    return fd;
}

/* Between vfork and exec init's memory is shared: nothing here may leave a trace in it but why exec failed. */
static pid_t spawn_shell(job *j, const char *text, char **env, const int fds[4], int cwd) {
    volatile int failure = 0;
    const char *shell = j->g->shell;
    char *const argv[] = {(char *)(uintptr_t)(strrchr(shell, '/') + 1), (char *)(uintptr_t) "-c",
                          (char *)(uintptr_t)text, NULL};
    struct {
        uint64_t tag;
    } self = {j->tag};
    pid_t pid = vfork();
    if (pid != 0 && failure == 0)
        return pid;
    if (pid != 0) {
        waitpid(pid, NULL, 0);
        errno = failure;
        return -1;
    }
    guest_confine(j->g->spec, false);
    signal(SIGPIPE, SIG_DFL); /* the interpreter ignores these two, and so its kernels do */
    signal(SIGXFSZ, SIG_DFL);
    tag_set(0, self.tag);
    if (fchdir(cwd) < 0 || dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[2], 2) < 0 ||
        (fds[3] >= 0 && dup2(fds[3], TEXT_FD) < 0))
        _exit(125);
    if (fds[3] >= 0 && fds[3] != TEXT_FD)
        close(fds[3]);
    execve(shell, argv, env);
    failure = errno;
    _exit(127);
}

void process_mark_oom(pid_t pid) {
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        cii_fd_write_all(fd, "300", 3);
}

static void refuse(job *j, const char *name, const char *message) {
    j->state = JOB_RUNNING;
    job_done(j, &(done_info){.outcome = CI_OUTCOME_FAILED, .name = name, .message = message});
}

void command_start(job *j) {
    _cleanup_free_ char *text = job_field_str(j, CII_FIELD_TEXT), *cwd = job_field_str(j, CII_FIELD_CWD);
    _cleanup_strv_ char **extra = call_env(j);
    _cleanup_free_ char **env = extra != NULL ? merge_env(j->g->spec->env, extra) : NULL;
    _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int root = open(GUEST_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int dir = openat(root, cwd != NULL ? cwd : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool by_file = text != NULL && strlen(text) >= ARGUMENT_MAX;
    _cleanup_close_ int file = by_file ? text_file(text) : -1;
    if (text == NULL || env == NULL || null < 0 || (by_file && file < 0)) {
        refuse(j, "NoMemory", "no memory or descriptors left to start a command");
        return;
    }
    if (dir < 0) {
        char message[256];
        snprintf(message, sizeof message, "working folder %.200s: %s", cwd, strerror(errno));
        refuse(j, "WorkingFolder", message);
        return;
    }
    _cleanup_close_ int out = stream_open(j->g, &j->streams[0], CII_WIRE_STDOUT);
    _cleanup_close_ int err = stream_open(j->g, &j->streams[1], CII_WIRE_STDERR);
    for (int i = 0; i < 2; i++) {
        j->streams[i].owner = j;
        j->streams[i].sink = command_output;
        j->streams[i].end = stream_ended;
    }
    j->state = JOB_RUNNING;
    j->started_us = cii_clock_us();
    j->packages_before = packages_stamp(j->g->spec);
    j->checks = -1;
    j->pid =
        out < 0 || err < 0 ? -1 : spawn_shell(j, by_file ? READ_TEXT : text, env, (int[]){null, out, err, file}, dir);
    if (j->pid < 0) {
        refuse(j, "NoProcess", strerror(errno));
        return;
    }
    process_mark_oom(j->pid);
    cii_buf_free(&j->start);
    if (j->kind == CI_RUN_KIND_TASK) {
        j->state = JOB_TASK;
        job_done(j, &(done_info){.task = j->tag, .task_running = true});
    }
}

/* --- ending -------------------------------------------------------------------------------------------------------- */

void command_ended(job *j, int wait_status) {
    j->pid = 0;
    j->wait_status = wait_status;
    if (j->state != JOB_RUNNING)
        return; /* a task's shell: command_poll() tells */
    if (streams_ended(j)) {
        finish(j);
        return;
    }
    if (j->interrupted)
        tag_kill(j->tag, 0);
    j->state = JOB_ENDING;
    j->ends_ms = cii_clock_ms() + ENDING_MS;
}

void command_tick(job *j) {
    if (cii_clock_ms() >= j->ends_ms && !job_congested(j))
        finish(j);
}

/* As Ctrl-C at a terminal: to all that the command started, so that a shell waiting for its child ends as well. */
void command_interrupt(job *j) {
    tag_signal(j->tag, 0, SIGINT);
    tag_signal(j->tag, 0, SIGCONT);
}

void command_kill(job *j) {
    tag_kill(j->tag, 0);
}

/* --- tasks --------------------------------------------------------------------------------------------------------- */

bool task_over(const job *task) {
    return task->pid == 0 && streams_ended(task) && !tag_alive(task->tag, 0);
}

void command_poll(job *j, job *task, bool stop) {
    if (stop)
        tag_kill(task->tag, 0);
    int status;
    if (task->pid > 0 && waitpid(task->pid, &status, WNOHANG) == task->pid)
        command_ended(task, status);
    done_info info = {.task = task->tag, .task_running = !stop && !task_over(task)};
    for (int i = 0; i < 2; i++) {
        stream_drain(&task->streams[i]);
        job_send_log(j, i == 0 ? CII_WIRE_STDOUT : CII_WIRE_STDERR, &task->logs[i], info.task_running);
    }
    if (task->pid == 0) {
        j->oom_before = task->oom_before;
        done_of_status(&info, j, task->wait_status);
    }
    if (!info.task_running)
        task->state = JOB_DONE;
    job_done(j, &info);
}
