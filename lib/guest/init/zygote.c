/* What the zygote's interpreter calls (lib/guest/python/zygote.py): waiting for a session to be wanted, and being that
 * session's init after the fork. The zygote has no part in a session but this: it reads fixed requests from the
 * supervisor and nothing else, and whatever belongs to a session is read after the fork from its own socket.
 *
 * Loaded by ctypes as libci_guest.so; one state, one thread. */
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/str.h"
#include "guest/init/guest.h"
#include "guest/init/serve.h"
#include "os/fd.h"

#define EXPORT __attribute__((visibility("default")))
#define SUPERVISOR_FD 3
#define FILTER_FD 4

static struct {
    void *filter;
    size_t filter_size;
    int pid_namespace_fd;
    char *covered[GUEST_COVERED_MAX + 1];
    session_spec spec;
    guest *guest;
} zygote = {.pid_namespace_fd = -1};

EXPORT int ci_guest_zygote_start(const char *info_json);
EXPORT int ci_guest_zygote_next(void);
EXPORT int ci_guest_zygote_forked(int pid);
EXPORT int ci_guest_session_enter(void);
EXPORT const char *ci_guest_session_env(int index);
EXPORT void ci_guest_session_packages(const char *folder);
EXPORT int ci_guest_session_serve(void);
EXPORT int ci_guest_kernel_enter(void);
EXPORT void ci_guest_kernel_forked(int pid);

static int send_to_supervisor(const cii_buf *message, int fd) {
    return cii_fd_send(SUPERVISOR_FD, message->data, message->size, &fd, fd >= 0 ? 1 : 0, 0) < 0 ? -1 : 0;
}

/* Turns the octal escapes of mountinfo (proc(5)) back, in place. */
static void unescape(char *text) {
    char *out = text;
    for (const char *in = text; *in != 0; out++)
        if (in[0] == '\\' && in[1] != 0 && in[2] != 0 && in[3] != 0) {
            *out = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
            in += 4;
        } else {
            *out = *in++;
        }
    *out = 0;
}

/* An interpreter's folder may lie below /tmp or in a home called like the session's. */
static void find_covered(void) {
    char *rest = NULL;
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, NULL);
    size_t count = 0;
    for (char *line = text != NULL ? strtok_r(text, "\n", &rest) : NULL; line != NULL && count < GUEST_COVERED_MAX;
         line = strtok_r(NULL, "\n", &rest)) {
        char path[4096];
        if (sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1)
            continue;
        unescape(path);
        if (cii_str_starts(path, "/tmp/") || cii_str_starts(path, GUEST_HOME "/"))
            zygote.covered[count++] = strdup(path);
    }
}

/* Once, after the imports: the interpreter is ready to be forked. 0, or -1. */
int ci_guest_zygote_start(const char *info_json) {
    struct stat st;
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    if (fstat(FILTER_FD, &st) < 0 || (zygote.filter = malloc((size_t)st.st_size)) == NULL ||
        pread(FILTER_FD, zygote.filter, (size_t)st.st_size, 0) != st.st_size)
        return -1;
    zygote.filter_size = (size_t)st.st_size;
    close(FILTER_FD);
    zygote.pid_namespace_fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    find_covered();
    signal(SIGCHLD, SIG_IGN); /* inits are watched by the supervisor, and reaped by the kernel */
    cii_wire_begin(&message, CII_SETUP_ZYGOTE_READY, &mark);
    cii_wire_put_str(&message, CII_SETUP_BUILD, CI_BUILD_ID);
    cii_wire_put_str(&message, CII_SETUP_INFO, info_json);
    cii_wire_end(&message, &mark);
    return zygote.pid_namespace_fd < 0 ? -1 : send_to_supervisor(&message, -1);
}

static void take_fork(const uint8_t *data, size_t size, const int *fds, size_t fd_count) {
    session_spec *spec = &zygote.spec;
    cii_wire_field field;
    size_t cursor = 0, next = 0;
    bool tree = false, rootfs = false, channel = false, oom = false;
    *spec = (session_spec){.setup_fd = -1,
                           .control_fd = -1,
                           .tree_fd = -1,
                           .rootfs_fd = -1,
                           .channel_fd = -1,
                           .oom_fd = -1,
                           .meminfo_fd = -1,
                           .covered = zygote.covered};
    while (cii_wire_next(data, size, &cursor, &field) == 1) {
        if (field.key == CII_SETUP_UID)
            spec->uid = (uint32_t)cii_wire_int(&field);
        else if (field.key == CII_SETUP_LIMITS)
            spec->limits = (int)cii_wire_int(&field);
        else if (field.key == CII_SETUP_KERNELS)
            spec->kernels = (uint64_t)cii_wire_int(&field);
        else if (field.key == CII_SETUP_TREE)
            tree = cii_wire_int(&field) != 0;
        else if (field.key == CII_SETUP_ROOTFS)
            rootfs = cii_wire_int(&field) != 0;
        else if (field.key == CII_SETUP_CHANNEL)
            channel = cii_wire_int(&field) != 0;
        else if (field.key == CII_SETUP_OOM)
            oom = cii_wire_int(&field) != 0;
    }
    if (next < fd_count)
        spec->setup_fd = fds[next++];
    if (tree && next < fd_count)
        spec->tree_fd = fds[next++];
    if (rootfs && next < fd_count)
        spec->rootfs_fd = fds[next++];
    if (channel && next < fd_count)
        spec->channel_fd = fds[next++];
    if (oom && next < fd_count)
        spec->oom_fd = fds[next++];
    while (next < fd_count)
        spec->cgroup_fds[spec->cgroup_count++] = fds[next++];
}

static void close_spec(void) {
    session_spec *spec = &zygote.spec;
    cii_close(TAKE_FD(spec->setup_fd));
    cii_close(TAKE_FD(spec->tree_fd));
    cii_close(TAKE_FD(spec->rootfs_fd));
    cii_close(TAKE_FD(spec->channel_fd));
    cii_close(TAKE_FD(spec->oom_fd));
    while (spec->cgroup_count > 0)
        cii_close(spec->cgroup_fds[--spec->cgroup_count]);
}

/* Waits for the next session. 1: fork now, the child is to be PID 1 of a new namespace; 0: the supervisor is gone. */
int ci_guest_zygote_next(void) {
    static uint8_t message[1024];
    int fds[5 + CII_SETUP_CGROUP_MAX];
    size_t fd_count = 0;
    cii_wire_frame_head head;
    ssize_t size;
    do
        size = cii_fd_recv(SUPERVISOR_FD, message, sizeof message, fds, CII_ELEMENTS(fds), &fd_count, 0);
    while (size < 0 && errno == EINTR);
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0 || head.type != CII_SETUP_FORK)
        return 0;
    take_fork(message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE, fds, fd_count);
    return unshare(CLONE_NEWPID) == 0 ? 1 : 0;
}

/* After the fork, in the zygote: hands the supervisor a descriptor to watch the init by. */
int ci_guest_zygote_forked(int pid) {
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    _cleanup_close_ int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    close_spec();
    cii_wire_begin(&message, CII_SETUP_FORKED, &mark);
    cii_wire_end(&message, &mark);
    if (setns(zygote.pid_namespace_fd, CLONE_NEWPID) < 0)
        return -1;
    return send_to_supervisor(&message, pidfd);
}

/* --- in the fork --------------------------------------------------------------------------------------------------- */

static int compare_fds(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* Closes all from 3 on but those the session needs. */
static void close_others(const session_spec *spec) {
    int keep[5 + CII_SETUP_CGROUP_MAX], count = 0, from = 3;
    const int own[] = {spec->setup_fd, spec->tree_fd, spec->rootfs_fd, spec->channel_fd, spec->oom_fd};
    for (size_t i = 0; i < CII_ELEMENTS(own); i++)
        if (own[i] >= 0)
            keep[count++] = own[i];
    for (size_t i = 0; i < spec->cgroup_count; i++)
        keep[count++] = spec->cgroup_fds[i];
    qsort(keep, (size_t)count, sizeof keep[0], compare_fds);
    for (int i = 0; i < count; from = keep[i++] + 1)
        if (keep[i] > from)
            syscall(SYS_close_range, from, keep[i] - 1, 0);
    syscall(SYS_close_range, from, ~0U, 0);
}

static void set_env(session_spec *spec, char *entry, size_t *count) {
    size_t name = entry != NULL ? strcspn(entry, "=") + 1 : 0, at = 0;
    while (at < *count && strncmp(spec->env[at], entry, name) != 0)
        at++;
    spec->env[at] = entry;
    *count += at == *count;
}

void session_take_field(session_spec *spec, const cii_wire_field *field) {
    uint64_t value = (uint64_t)cii_wire_int(field);
    switch (field->key) {
    case CII_SETUP_MEMORY:
        spec->memory_bytes = value;
        break;
    case CII_SETUP_WORKSPACE:
        spec->workspace_bytes = value;
        break;
    case CII_SETUP_INODES:
        spec->workspace_inodes = value;
        break;
    case CII_SETUP_PROCESSES:
        spec->process_count = (uint32_t)value;
        break;
    case CII_SETUP_OPEN_FILES:
        spec->open_file_count = (uint32_t)value;
        break;
    case CII_SETUP_NETWORK:
        spec->network = (int)value;
        break;
    default:
        break;
    }
}

extern char **environ;

/* The session's environment: the interpreter's own, and what the host added. */
static int read_session(session_spec *spec) {
    _cleanup_free_ uint8_t *message = malloc(CII_SETUP_MESSAGE_MAX);
    cii_wire_frame_head head;
    size_t fd_count = 0, cursor = 0, env_count = 0;
    ssize_t size = message == NULL ? -1
                                   : cii_fd_recv(spec->setup_fd, message, CII_SETUP_MESSAGE_MAX, &spec->control_fd, 1,
                                                 &fd_count, 0);
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0 || head.type != CII_SETUP_SESSION)
        return -1;
    size_t own = cii_strv_count((const char *const *)environ);
    spec->env = calloc(own + (size_t)size / 5 + 1, sizeof *spec->env);
    if (spec->env == NULL)
        return -1;
    for (; env_count < own; env_count++)
        spec->env[env_count] = strdup(environ[env_count]);
    cii_wire_field field;
    while (cii_wire_next(message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE, &cursor, &field) == 1)
        if (field.key == CII_SETUP_ENV)
            set_env(spec, strndup((const char *)field.data, field.size), &env_count);
        else
            session_take_field(spec, &field);
    return 0;
}

/* In the fork: becomes the session's init. 0; ends the process when it cannot. */
int ci_guest_session_enter(void) {
    close_others(&zygote.spec);
    zygote.pid_namespace_fd = -1;
    if (read_session(&zygote.spec) < 0)
        _exit(1);
    guest_enter(&zygote.spec, zygote.filter, zygote.filter_size);
    zygote.guest = guest_new(&zygote.spec);
    if (zygote.guest == NULL)
        _exit(1);
    const char *why;
    kernel_start(kernel_get(zygote.guest, "python", NULL, true, &why));
    kernels_keep_ready(zygote.guest);
    return 0;
}

/* "NAME=value" strings for the interpreter's own environment; NULL beyond the last. */
const char *ci_guest_session_env(int index) {
    return zygote.spec.env[index];
}

/* A folder that packages are installed into. */
void ci_guest_session_packages(const char *folder) {
    session_spec *spec = &zygote.spec;
    size_t count = cii_strv_count((const char *const *)spec->packages);
    if (count < GUEST_PACKAGES_MAX)
        spec->packages[count] = strdup(folder);
}

/* Serves the session until the interpreter is to fork a kernel. */
int ci_guest_session_serve(void) {
    guest_serve(zygote.guest);
    return 1;
}

/* In the fork: confined. Returns the descriptor of the kernel's channel. */
int ci_guest_kernel_enter(void) {
    return kernel_enter(zygote.guest);
}

/* In init: the fork's pid, or -1. */
void ci_guest_kernel_forked(int pid) {
    kernel_forked(zygote.guest, pid);
}
