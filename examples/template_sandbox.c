/* A sandbox backend in one file, made of <ci/sys/sandbox.h> and libc alone: copy it and change one part after the other.
 *
 * A session is a temporary folder; a command is `sh -c` with that folder as its working folder. NOTHING IS ISOLATED: the
 * command runs as you, with your network and your files, which is why the only network it admits to is that of the host.
 * It runs no language. What it does show: operations that never block, output as it comes, interrupt and kill, whole
 * files, folders, and how a backend says what it can.
 *
 *     backend (impl)  -> session: folder, list of its commands -> operation: one command, or one thing done to a file */
#include "template_sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536
#define CHUNKS_A_STEP 32 /* so that process() returns soon whatever a command prints */

typedef struct template_backend {
    unsigned flags;
} template_backend;

typedef struct template_op template_op;

typedef struct template_session {
    template_backend *backend;
    char folder[64]; /* holds "files" and "stage" */
    char root[72];
    int files_fd;
    int stage_fd;
    char **env;
    pthread_mutex_t lock; /* for the list: shutdown() comes from any thread */
    template_op *commands;
} template_session;

struct template_op {
    ci_op op; /* first, so that the library's pointer is ours */
    template_session *session;
    int32_t (*step)(template_op *op, ci_error **ret_error);
    char *path; /* of a file operation, below the root */
    void *user;
    ci_entry_cb entry;
    /* a file that is read or written */
    int file_fd;
    uint64_t offset;
    uint64_t left;
    ci_op_write_cb write;
    ci_op_read_cb read;
    char *temporary;
    /* a command */
    const ci_sink *sink;
    pid_t pid;
    int pid_fd;
    int pipes[2];
    int epoll_fd;
    struct timespec started;
    template_op *next;
};

/* --- errors -------------------------------------------------------------------------------------------------------- */

static ci_status fail(ci_status status, const char *message, ci_error **ret_error) {
    const ci_error_fields fields = {
        .struct_size = sizeof fields, .domain = "template", .message = message, .status = status};
    return ci_error_make(&fields, ret_error);
}

static ci_status fail_errno(int number, const char *what, ci_error **ret_error) {
    char message[512];
    ci_status status = number == ENOENT                                            ? CI_ERR_NOTFOUND
                       : number == EACCES || number == EPERM                       ? CI_ERR_PERMISSION
                       : number == ENOMEM                                          ? CI_ERR_NOMEM
                       : number == EEXIST                                          ? CI_ERR_EXISTS
                       : number == ENOSPC || number == EFBIG                       ? CI_ERR_LIMIT
                       : number == ENOTDIR || number == EISDIR || number == EINVAL ? CI_ERR_INVALID
                                                                                   : CI_ERR_IO;
    snprintf(message, sizeof message, "%s: %s", what, strerror(number));
    const ci_error_fields fields = {.struct_size = sizeof fields,
                                    .domain = "template",
                                    .message = message,
                                    .status = status,
                                    .error_number = number};
    return ci_error_make(&fields, ret_error);
}

/* --- operations ---------------------------------------------------------------------------------------------------- */

static int32_t op_fd(ci_op *op) {
    return ((template_op *)op)->epoll_fd; /* -1 for files: they are always ready */
}

static int32_t op_process(ci_op *op, ci_error **ret_error) {
    return ((template_op *)op)->step((template_op *)op, ret_error);
}

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

static void unlist(template_op *op) {
    pthread_mutex_lock(&op->session->lock);
    template_op **at = &op->session->commands;
    while (*at && *at != op)
        at = &(*at)->next;
    if (*at)
        *at = op->next;
    pthread_mutex_unlock(&op->session->lock);
}

static void op_free(ci_op *base) {
    template_op *op = (template_op *)base;
    if (op->pid > 0) {
        kill(-op->pid, SIGKILL);
        waitpid(op->pid, NULL, 0);
    }
    unlist(op);
    if (op->temporary)
        unlink(op->temporary);
    close_fd(op->file_fd);
    close_fd(op->pipes[0]);
    close_fd(op->pipes[1]);
    close_fd(op->pid_fd);
    close_fd(op->epoll_fd);
    free(op->temporary);
    free(op->path);
    free(op);
}

/* The pid is the group's, and ours until waitpid(): signalling it hits nobody else. */
static ci_status signal_command(ci_op *base, int number) {
    template_op *op = (template_op *)base;
    return op->pid > 0 && kill(-op->pid, number) < 0 ? CI_ERR_IO : CI_OK;
}

static ci_status op_interrupt(ci_op *op) {
    return signal_command(op, SIGINT);
}

static ci_status op_kill(ci_op *op) {
    return signal_command(op, SIGKILL);
}

static const ci_op_ops command_ops = {sizeof command_ops, op_fd, op_process, op_interrupt, op_kill, op_free};
static const ci_op_ops file_ops = {sizeof file_ops, op_fd, op_process, NULL, NULL, op_free};

static template_op *op_new(template_session *session, const ci_op_ops *ops,
                           int32_t (*step)(template_op *, ci_error **)) {
    template_op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    op->op.ops = ops;
    op->session = session;
    op->step = step;
    op->file_fd = op->pid_fd = op->epoll_fd = op->pipes[0] = op->pipes[1] = -1;
    return op;
}

/* Paths are relative to the root, "/workspace/…" is the root by the name that the code knows. A backend that isolates
 * resolves them with openat2(2) and RESOLVE_IN_ROOT; here ".." is refused and that is all. */
static ci_status file_op_new(template_session *session, const char *path, int32_t (*step)(template_op *, ci_error **),
                             void *user, template_op **ret_op, ci_error **ret_error) {
    if (strncmp(path, "/workspace", 10) == 0 && (path[10] == '/' || !path[10]))
        path += 10;
    else if (path[0] == '/')
        return fail(CI_ERR_PERMISSION, "outside the sandbox root", ret_error);
    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || !at[2]))
            return fail(CI_ERR_PERMISSION, "outside the sandbox root", ret_error);
    }
    template_op *op = op_new(session, &file_ops, step);
    if (!op || asprintf(&op->path, "%s/%s", session->root, *path ? path : ".") < 0) {
        free(op);
        return fail(CI_ERR_NOMEM, "no memory", ret_error);
    }
    op->user = user;
    *ret_op = op;
    return CI_OK;
}

/* --- commands ------------------------------------------------------------------------------------------------------ */

/* Hands on what is in a pipe. */
static void drain(template_op *op, int which) {
    char buffer[CHUNK];
    for (int i = 0; i < CHUNKS_A_STEP && op->pipes[which] >= 0; i++) {
        ssize_t n = read(op->pipes[which], buffer, sizeof buffer);
        if (n > 0) {
            op->sink->output(op->sink->user, which ? CI_STREAM_STDERR : CI_STREAM_STDOUT, buffer, (size_t)n);
            continue;
        }
        if (n == 0 || errno != EAGAIN) {
            close(op->pipes[which]);
            op->pipes[which] = -1;
        }
        return;
    }
}

static int64_t elapsed_us(const struct timespec *since) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)(now.tv_sec - since->tv_sec) * 1000000 + (now.tv_nsec - since->tv_nsec) / 1000;
}

/* The result is complete when the shell has ended and the pipes were drained after that. What it left running is
 * killed, while its pid, not yet reaped, still keeps the group's number from being given to others. */
static int32_t step_command(template_op *op, ci_error **ret_error) {
    (void)ret_error;
    drain(op, 0);
    drain(op, 1);
    siginfo_t ended = {0};
    if (waitid(P_PID, (id_t)op->pid, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid == 0)
        return 0;
    kill(-op->pid, SIGKILL);
    int status = 0;
    waitpid(op->pid, &status, 0);
    op->pid = 0;
    drain(op, 0);
    drain(op, 1);
    ci_run_outcome outcome = {.struct_size = sizeof outcome, .execution_us = elapsed_us(&op->started)};
    if (WIFSIGNALED(status)) {
        outcome.outcome = CI_OUTCOME_SIGNAL;
        outcome.signal_number = WTERMSIG(status);
    } else if (WEXITSTATUS(status) != 0) {
        outcome.outcome = CI_OUTCOME_EXIT;
        outcome.exit_code = WEXITSTATUS(status);
    }
    op->sink->done(op->sink->user, &outcome);
    return 1;
}

/* The session's environment, then the call's: of two of a name the shell takes the last. */
static char **join_env(char **first, const char *const *second) {
    size_t count = 0;
    for (char **at = first; at && *at; at++)
        count++;
    for (const char *const *at = second; at && *at; at++)
        count++;
    char **env = calloc(count + 2, sizeof *env);
    size_t used = 0;
    if (env)
        env[used++] = (char *)"PATH=/usr/local/bin:/usr/bin:/bin";
    for (char **at = first; env && at && *at; at++)
        env[used++] = *at;
    for (const char *const *at = second; env && at && *at; at++)
        env[used++] = (char *)*at;
    return env;
}

static int spawn_shell(template_op *op, const char *command, const char *folder, char **env, const int write_ends[2]) {
    const char *argv[] = {"sh", "-c", command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, write_ends[0], 1);
    posix_spawn_file_actions_adddup2(&actions, write_ends[1], 2);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int r = posix_spawn(&op->pid, "/bin/sh", &actions, &attributes, (char *const *)argv, env);
    if (r != 0)
        op->pid = 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

/* One descriptor to poll for three: both pipes, and the shell's end. */
static int watch(template_op *op) {
    op->pid_fd = (int)syscall(SYS_pidfd_open, op->pid, 0);
    op->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    const int fds[] = {op->pipes[0], op->pipes[1], op->pid_fd};
    for (int i = 0; i < 3; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        if (epoll_ctl(op->epoll_fd, EPOLL_CTL_ADD, fds[i], &event) < 0)
            return errno;
    }
    return 0;
}

static int start_shell(template_op *op, const ci_run_request *request) {
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    char *folder = NULL;
    char **env = join_env(op->session->env, request->env);
    int r = 0;
    if (!env || asprintf(&folder, "%s/%s", op->session->root, request->cwd ? request->cwd : ".") < 0)
        r = ENOMEM;
    else if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        r = errno;
    op->pipes[0] = out[0];
    op->pipes[1] = err[0];
    for (int i = 0; i < 2 && r == 0; i++)
        r = fcntl(op->pipes[i], F_SETFL, O_NONBLOCK) < 0 ? errno : 0;
    clock_gettime(CLOCK_MONOTONIC, &op->started);
    if (r == 0)
        r = spawn_shell(op, request->text, folder, env, (const int[]){out[1], err[1]});
    close_fd(out[1]);
    close_fd(err[1]);
    free(folder);
    free(env);
    return r == 0 ? watch(op) : r;
}

static ci_status template_run(void *impl, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                              ci_error **ret_error) {
    template_session *session = impl;
    if (request->kind != CI_RUN_KIND_COMMAND)
        return fail(CI_ERR_NOTSUP, "this backend runs commands only", ret_error);
    template_op *op = op_new(session, &command_ops, step_command);
    if (!op)
        return fail(CI_ERR_NOMEM, "no memory", ret_error);
    op->sink = sink;
    int r = start_shell(op, request);
    if (r != 0) {
        op_free(&op->op);
        return fail_errno(r, "start of the shell", ret_error);
    }
    pthread_mutex_lock(&session->lock);
    op->next = session->commands;
    session->commands = op;
    pthread_mutex_unlock(&session->lock);
    *ret_op = &op->op;
    return CI_OK;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

static int32_t step_get(template_op *op, ci_error **ret_error) {
    char buffer[CHUNK];
    for (int i = 0; i < CHUNKS_A_STEP; i++) {
        size_t size = op->left < sizeof buffer ? (size_t)op->left : sizeof buffer;
        ssize_t n = size ? pread(op->file_fd, buffer, size, (off_t)op->offset) : 0;
        if (n < 0)
            return fail_errno(errno, "read", ret_error);
        if (n == 0)
            return 1;
        int32_t taken = op->write(op->user, buffer, (size_t)n);
        if (taken == CI_IO_PAUSE)
            return 0;
        if (taken != 0)
            return fail(CI_ERR_CANCELLED, "stopped by its reader", ret_error);
        op->offset += (uint64_t)n;
        op->left -= (uint64_t)n;
    }
    return 0;
}

static ci_status template_file_get(void *impl, const char *path, uint64_t offset, uint64_t length, ci_op_write_cb write,
                                   void *user, ci_op **ret_op, ci_error **ret_error) {
    template_op *op = NULL;
    ci_status status = file_op_new(impl, path, step_get, user, &op, ret_error);
    if (status < 0)
        return status;
    op->write = write;
    op->offset = offset;
    op->left = length;
    op->file_fd = open(op->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (op->file_fd < 0 || fstat(op->file_fd, &st) < 0)
        status = fail_errno(errno, path, ret_error);
    else if (!S_ISREG(st.st_mode))
        status = fail(CI_ERR_INVALID, "not a regular file", ret_error);
    if (status < 0)
        op_free(&op->op);
    else
        *ret_op = &op->op;
    return status;
}

/* The file appears by rename, when it is whole. */
static int32_t step_put(template_op *op, ci_error **ret_error) {
    char buffer[CHUNK];
    for (int i = 0; i < CHUNKS_A_STEP; i++) {
        int64_t n = op->read(op->user, buffer, sizeof buffer);
        if (n == CI_IO_PAUSE)
            return 0;
        if (n < 0)
            return fail(CI_ERR_CANCELLED, "stopped by its writer", ret_error);
        if (n == 0) {
            if (rename(op->temporary, op->path) < 0)
                return fail_errno(errno, "write", ret_error);
            free(op->temporary);
            op->temporary = NULL;
            return 1;
        }
        for (int64_t done = 0; done < n;) {
            ssize_t w = write(op->file_fd, buffer + done, (size_t)(n - done));
            if (w < 0)
                return fail_errno(errno, "write", ret_error);
            done += w;
        }
    }
    return 0;
}

/* Makes what is missing of a folder; up to the last "/" when `above`. */
static int make_folders(char *path, int above) {
    for (char *at = strchr(path + 1, '/');; at = strchr(at + 1, '/')) {
        if (!at && above)
            return 0;
        if (at)
            *at = 0;
        int r = mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
        if (at)
            *at = '/';
        if (r < 0 || !at)
            return r;
    }
}

static ci_status template_file_put(void *impl, const char *path, ci_op_read_cb read, void *user, ci_op **ret_op,
                                   ci_error **ret_error) {
    template_session *session = impl;
    template_op *op = NULL;
    ci_status status = file_op_new(session, path, step_put, user, &op, ret_error);
    if (status < 0)
        return status;
    op->read = read;
    if (asprintf(&op->temporary, "%s/stage/put-XXXXXX", session->folder) < 0)
        op->temporary = NULL;
    else
        op->file_fd = mkostemp(op->temporary, O_CLOEXEC);
    if (op->file_fd < 0 || fchmod(op->file_fd, 0644) < 0 || make_folders(op->path, 1) < 0) {
        status = fail_errno(op->temporary ? errno : ENOMEM, path, ret_error);
        op_free(&op->op);
    } else {
        *ret_op = &op->op;
    }
    return status;
}

static int32_t tell_entry(template_op *op, const char *name, const struct stat *st) {
    const ci_entry entry = {
        .struct_size = sizeof entry,
        .path = name,
        .size_bytes = (uint64_t)st->st_size,
        .modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .version = (uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec,
        .kind = S_ISREG(st->st_mode)   ? CI_KIND_REGULAR
                : S_ISDIR(st->st_mode) ? CI_KIND_DIRECTORY
                : S_ISLNK(st->st_mode) ? CI_KIND_SYMLINK
                                       : CI_KIND_OTHER,
        .mode = st->st_mode & 07777,
    };
    return op->entry(op->user, &entry);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* One level, or all below; `prefix` is what comes before the names. 0, an errno, or -1: the callback said stop. */
static int list_folder(template_op *op, const char *folder, const char *prefix, int deep) {
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, not_dots, by_name);
    int r = count < 0 ? errno : 0;
    for (int i = 0; i < count; i++) {
        char *path = NULL, *name = NULL;
        struct stat st;
        if (r == 0 && (asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0 ||
                       asprintf(&name, "%s%s", prefix, entries[i]->d_name) < 0))
            r = ENOMEM;
        if (r == 0 && lstat(path, &st) == 0) {
            int32_t said = tell_entry(op, name, &st);
            if (said < 0)
                r = -1;
            char *below = NULL;
            if (said == 0 && deep && S_ISDIR(st.st_mode))
                r = asprintf(&below, "%s/", name) < 0 ? ENOMEM : list_folder(op, path, below, 1);
            free(below);
        }
        free(path);
        free(name);
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int32_t end_list(int r, ci_error **ret_error) {
    return r == 0 ? 1 : r < 0 ? fail(CI_ERR_CANCELLED, "stopped", ret_error) : fail_errno(r, "list", ret_error);
}

static int32_t step_list(template_op *op, ci_error **ret_error) {
    return end_list(list_folder(op, op->path, "", 0), ret_error);
}

static int32_t step_walk(template_op *op, ci_error **ret_error) {
    return end_list(list_folder(op, op->path, "", 1), ret_error);
}

static int32_t step_stat(template_op *op, ci_error **ret_error) {
    struct stat st;
    if (stat(op->path, &st) < 0)
        return fail_errno(errno, "stat", ret_error);
    tell_entry(op, strrchr(op->path, '/') + 1, &st);
    return 1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int32_t step_remove(template_op *op, ci_error **ret_error) {
    return nftw(op->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 ? fail_errno(errno, "remove", ret_error) : 1;
}

static int32_t step_mkdir(template_op *op, ci_error **ret_error) {
    return make_folders(op->path, 0) < 0 ? fail_errno(errno, "mkdir", ret_error) : 1;
}

static ci_status start_simple(void *session, const char *path, int32_t (*step)(template_op *, ci_error **),
                              ci_entry_cb entry, void *user, ci_op **ret_op, ci_error **ret_error) {
    template_op *op = NULL;
    ci_status status = file_op_new(session, path, step, user, &op, ret_error);
    if (status < 0)
        return status;
    op->entry = entry;
    *ret_op = &op->op;
    return CI_OK;
}

static ci_status template_file_list(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                                    ci_error **ret_error) {
    return start_simple(session, path, step_list, entry, user, ret_op, ret_error);
}

static ci_status template_file_stat(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                                    ci_error **ret_error) {
    return start_simple(session, path, step_stat, entry, user, ret_op, ret_error);
}

static ci_status template_file_remove(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    return start_simple(session, path, step_remove, NULL, NULL, ret_op, ret_error);
}

static ci_status template_file_mkdir(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    return start_simple(session, path, step_mkdir, NULL, NULL, ret_op, ret_error);
}

static ci_status template_walk(void *session, const char *path, uint32_t flags, ci_entry_cb entry, void *user,
                               ci_op **ret_op, ci_error **ret_error) {
    (void)flags; /* CI_CAP_HASH is not among our capabilities: nobody asks for hashes */
    return start_simple(session, path, step_walk, entry, user, ret_op, ret_error);
}

static ci_status template_host_dirs(void *impl, ci_host_dirs *ret_dirs, ci_error **ret_error) {
    template_session *session = impl;
    (void)ret_error;
    ret_dirs->files_fd = session->files_fd;
    ret_dirs->stage_fd = session->stage_fd;
    ret_dirs->uid = geteuid();
    ret_dirs->gid = getegid();
    return CI_OK;
}

/* --- sessions ------------------------------------------------------------------------------------------------------ */

/* Kills; the operations find out by themselves when they are next processed. */
static void template_shutdown(void *impl) {
    template_session *session = impl;
    pthread_mutex_lock(&session->lock);
    for (template_op *op = session->commands; op; op = op->next)
        op_kill(&op->op);
    pthread_mutex_unlock(&session->lock);
}

static void template_close(void *impl) {
    template_session *session = impl;
    nftw(session->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    close_fd(session->files_fd);
    close_fd(session->stage_fd);
    for (char **at = session->env; at && *at; at++)
        free(*at);
    free(session->env);
    pthread_mutex_destroy(&session->lock);
    free(session);
}

static char **copy_env(const char *const *env) {
    size_t count = 0;
    while (env && env[count])
        count++;
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = strdup(env[i]);
    return copy;
}

static int make_folder_of_session(template_session *session) {
    strcpy(session->folder, "/tmp/ci-template-XXXXXX");
    if (!mkdtemp(session->folder))
        return errno;
    snprintf(session->root, sizeof session->root, "%s/files", session->folder);
    char stage[sizeof session->root + 8];
    snprintf(stage, sizeof stage, "%s/stage", session->folder);
    if (mkdir(session->root, 0755) < 0 || mkdir(stage, 0700) < 0)
        return errno;
    session->files_fd = open(session->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    session->stage_fd = open(stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return session->files_fd < 0 || session->stage_fd < 0 ? errno : 0;
}

/* Done within start: the operation that says so is one of a file, with nothing to do. */
static int32_t step_nothing(template_op *op, ci_error **ret_error) {
    (void)op;
    (void)ret_error;
    return 1;
}

static ci_status template_open(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                               ci_error **ret_error) {
    template_session *session = calloc(1, sizeof *session);
    if (!session)
        return fail(CI_ERR_NOMEM, "no memory", ret_error);
    session->backend = impl;
    session->files_fd = session->stage_fd = -1;
    pthread_mutex_init(&session->lock, NULL);
    session->env = copy_env(request->env);
    int r = make_folder_of_session(session);
    template_op *op = op_new(session, &file_ops, step_nothing);
    if (r != 0 || !op || !session->env) {
        free(op);
        template_close(session);
        return fail_errno(r != 0 ? r : ENOMEM, "folder of the session", ret_error);
    }
    *ret_session = session;
    *ret_op = &op->op;
    return CI_OK;
}

/* --- the backend --------------------------------------------------------------------------------------------------- */

static uint64_t template_capabilities(void *impl, void *session) {
    (void)session;
    unsigned flags = ((template_backend *)impl)->flags;
    return CI_CAP_INTERRUPT | CI_CAP_CALL_ENV | CI_CAP_CALL_CWD | CI_CAP_STREAMING | CI_CAP_SEPARATE_STREAMS |
           CI_CAP_NETWORK_HOST | (flags & TEMPLATE_HOST_PATHS ? CI_CAP_HOST_PATHS : 0) |
           (flags & TEMPLATE_WALK ? CI_CAP_WALK : 0);
}

static void template_free(void *impl) {
    free(impl);
}

/* Slots that are left out become defaults that refuse. */
static const ci_sandbox_ops template_ops = {
    .struct_size = sizeof template_ops,
    .required = CI_REQUIRE_NOTHING,
    .name = "template",
    .free = template_free,
    .capabilities = template_capabilities,
    .open = template_open,
    .shutdown = template_shutdown,
    .close = template_close,
    .run = template_run,
    .host_dirs = template_host_dirs,
    .file_get = template_file_get,
    .file_put = template_file_put,
    .file_list = template_file_list,
    .file_stat = template_file_stat,
    .file_remove = template_file_remove,
    .file_mkdir = template_file_mkdir,
    .walk = template_walk,
};

ci_status template_sandbox_new(unsigned flags, ci_sandbox **ret_sandbox, ci_error **ret_error) {
    template_backend *backend = malloc(sizeof *backend);
    if (!backend)
        return fail(CI_ERR_NOMEM, "no memory", ret_error);
    backend->flags = flags;
    ci_status status = ci_sandbox_new(&template_ops, backend, ret_sandbox, ret_error);
    if (status < 0)
        free(backend);
    return status;
}
