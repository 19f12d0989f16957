/* Starting a helper program, and pidfds.
 *
 *     host --clone--> go-between --fork--> program
 *
 * The go-between makes the program an orphan. It is cloned without an exit signal, so that neither SIGCHLD nor a
 * wait(2) of the host for whatever child there is ever meets it. The program says its pid over a socket and waits for a
 * byte: by then the host has a pidfd, and no other process can have taken the number. Then it executes; what fails it
 * says with its errno. The go-between is stopped (CLONE_VFORK) until it has executed or ended, says so and ends: not
 * the socket's end-of-file tells, as a fork in another thread of the host may have got a copy of it.
 *
 * From clone to execve(2) nothing is called but what is async-signal-safe, and all signals are blocked, so that no
 * handler of the host runs there. */
#include "os/process.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* What the children say: the pid, what failed, and that it is over. */
enum { SAYS_PID, SAYS_FORK_FAILED, SAYS_SETUP_FAILED, SAYS_EXEC_FAILED, SAYS_STARTED };
struct word {
    int what;
    int value; /* pid or errno */
};

struct start {
    const char *path;
    char *const *argv;
    char *const *env;
    const int *fds;
    int fd_count;
    int socket_fd; /* the children's end */
    int host_fd;   /* the host's end, which the children close: else they would not hear of the host's death */
};

/* --- in the children ---------------------------------------------------------------------------------------------- */

static void say(const struct start *s, int what, int value) {
    struct word word = {what, value};
    send(s->socket_fd, &word, sizeof(word), MSG_NOSIGNAL);
}

/* _exit(2), past what a sanitizer puts around it: its threads and their locks have stayed behind. */
static _Noreturn void leave(void) {
    for (;;)
        syscall(SYS_exit_group, 127);
}

static _Noreturn void give_up(const struct start *s, int what) {
    say(s, what, errno);
    leave();
}

static void default_signals(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int n = 1; n < NSIG; n++)
        sigaction(n, &action, NULL); /* fails for KILL, STOP and libc's own two, which exec resets */
}

/* Moves everything above where it shall stand first, so that nothing is overwritten, then down. What is above the
 * last one, the socket with it, closes by itself at exec. */
static bool place_fds(struct start *s) {
    int first_free = 3 + s->fd_count;
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return false;
    int above[s->fd_count + 1];
    for (int i = 0; i < s->fd_count; i++)
        if ((above[i] = fcntl(s->fds[i], F_DUPFD_CLOEXEC, first_free)) < 0)
            return false;
    int socket_fd = fcntl(s->socket_fd, F_DUPFD_CLOEXEC, first_free);
    null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, first_free);
    if (socket_fd < 0 || null_fd < 0)
        return false;
    s->socket_fd = socket_fd;
    for (int i = 0; i < first_free; i++)
        if (dup2(i < 3 ? null_fd : above[i - 3], i) < 0)
            return false;
    return syscall(SYS_close_range, first_free, ~0u, CLOSE_RANGE_CLOEXEC) == 0;
}

static _Noreturn void become_program(struct start *s) {
    char go;
    sigset_t none;
    say(s, SAYS_PID, getpid());
    if (recv(s->socket_fd, &go, 1, 0) != 1)
        leave(); /* the host has given up */
    default_signals();
    setsid(); /* a Ctrl-C at the host's terminal is not meant for it */
    sigemptyset(&none);
    if (chdir("/") < 0 || !place_fds(s) || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        give_up(s, SAYS_SETUP_FAILED);
    execve(s->path, s->argv, s->env);
    give_up(s, SAYS_EXEC_FAILED);
}

/* fork(2) without the handlers that the host has registered by pthread_atfork(3). */
static pid_t plain_fork(int flags) {
    return (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
}

static _Noreturn void go_between(struct start *s) {
    close(s->host_fd);
    pid_t pid = plain_fork(SIGCHLD | CLONE_VFORK);
    if (pid == 0)
        become_program(s);
    if (pid < 0)
        give_up(s, SAYS_FORK_FAILED);
    say(s, SAYS_STARTED, 0);
    leave();
}

/* --- in the host -------------------------------------------------------------------------------------------------- */

static pid_t clone_go_between(struct start *s) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = plain_fork(0);
    if (pid == 0)
        go_between(s);
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return pid;
}

/* By its pid alone. Somebody who waits for children of every kind may have been faster: ECHILD. */
static void reap(pid_t pid) {
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
}

/* The next word; without one (killed by somebody) SAYS_FORK_FAILED. */
static struct word hear(int socket_fd) {
    struct word word;
    ssize_t n;
    do {
        n = recv(socket_fd, &word, sizeof(word), 0);
    } while (n < 0 && errno == EINTR);
    return n == sizeof(word) ? word : (struct word){SAYS_FORK_FAILED, n < 0 ? errno : ECHILD};
}

static ci_status failed(ci_error **ret_error, const char *path, struct word word) {
    const char *where = word.what == SAYS_FORK_FAILED    ? ": fork"
                        : word.what == SAYS_SETUP_FAILED ? ": place its descriptors"
                                                         : "";
    return cii_error_errno(ret_error, word.value, "os", "start %s%s", path, where);
}

/* From the first word to the last. */
static ci_status lead(int socket_fd, const char *path, pid_t *ret_pid, int *ret_pidfd, ci_error **ret_error) {
    struct word word = hear(socket_fd);
    if (word.what != SAYS_PID)
        return failed(ret_error, path, word);
    pid_t pid = word.value;
    _cleanup_close_ int pidfd = cii_pidfd_open(pid);
    if (pidfd < 0 || send(socket_fd, "", 1, MSG_NOSIGNAL) < 0)
        return cii_error_errno(ret_error, errno, "os", "start %s: watch it", path);
    word = hear(socket_fd);
    if (word.what != SAYS_STARTED)
        return failed(ret_error, path, word);
    *ret_pid = pid;
    *ret_pidfd = TAKE_FD(pidfd);
    return CI_OK;
}

ci_status cii_process_spawn(const char *path, const char *const *argv, const char *const *env, const int *fds,
                            size_t fd_count, pid_t *ret_pid, int *ret_pidfd, ci_error **ret_error) {
    static char *const no_env[] = {NULL};
    int ends[2];
    if (fd_count > 64)
        return cii_error_set(ret_error, CI_ERR_INVALID, "os", "start %s: %zu descriptors", path, fd_count);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return cii_error_errno(ret_error, errno, "os", "start %s: socket", path);
    _cleanup_close_ int own_end = ends[0];
    _cleanup_close_ int child_end = ends[1];
    struct start start = {
        .path = path,
        .argv = (char *const *)argv,
        .env = env ? (char *const *)env : no_env,
        .fds = fds,
        .fd_count = (int)fd_count,
        .socket_fd = child_end,
        .host_fd = own_end,
    };
    pid_t pid = clone_go_between(&start);
    if (pid < 0)
        return cii_error_errno(ret_error, errno, "os", "start %s: fork", path);
    cii_close(TAKE_FD(child_end));
    ci_status status = lead(own_end, path, ret_pid, ret_pidfd, ret_error);
    shutdown(own_end, SHUT_RDWR); /* what still waits for the byte gives up, and the go-between ends */
    reap(pid);
    return status;
}

static bool is_child(int pidfd) {
    siginfo_t info;
    return waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void cii_process_reap_adopted(int pidfd, int64_t timeout_ms) {
    siginfo_t info;
    if (pidfd >= 0 && is_child(pidfd) && cii_fd_wait(pidfd, POLLIN, timeout_ms) > 0)
        waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
}

int cii_pidfd_open(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int cii_pidfd_signal(int pidfd, int signal_number) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
}

/* The dynamic linker knows a shared object by the name it was opened by; of the program itself it knows none. */
char *cii_process_own_dir(void) {
    Dl_info info;
    struct link_map *map = NULL;
    bool is_shared = dladdr1((void *)cii_process_own_dir, &info, (void **)&map, RTLD_DL_LINKMAP) && map && *map->l_name;
    char *file = realpath(is_shared ? map->l_name : "/proc/self/exe", NULL);
    char *slash = file ? strrchr(file, '/') : NULL;
    if (slash)
        slash[slash == file] = '\0';
    return file;
}
