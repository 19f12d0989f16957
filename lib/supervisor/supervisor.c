/* The local backend's helper program: one for each sandbox object, started by the library with two descriptors (3: the
 * library's socket, 4: a pidfd of the host process). It finds interpreters, keeps zygotes ready, gives sessions their
 * cgroups and ids, and takes everything down when the host goes. What a session does never passes through here, and
 * nothing a session sends is read here. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "os/fd.h"
#include "supervisor/supervisor.h"

#define DOMAIN "local"
#define HOST_FD 3
#define OWNER_FD 4
#define REMOVE_ATTEMPTS 1000 /* half a second; what is left then goes when the supervisor ends */
#define ATTEMPTS 2           /* zygotes that may die under the wish for one session */
#define SPARE_FDS 16         /* descriptors that opening one session needs in passing */

typedef enum zygote_state { ZYGOTE_NONE, ZYGOTE_STARTING, ZYGOTE_READY, ZYGOTE_FAILED } zygote_state;

/* A session on its way to a zygote, then its init, watched until it ends. */
typedef struct session session;
struct session {
    session *next;
    uint64_t id;
    uint32_t uid;
    int setup_fd, tree_fd, rootfs_fd, pidfd;
    /* A spare: made before anybody asked for it. */
    int spare_fd;         /* the other end of its setup socket; -1: no spare (any more) */
    int root_fd, base_fd; /* what it sent when it was ready; -1 before */
    int attempts;
    uint64_t memory_bytes;
    uint32_t process_count;
    struct family *family;
    struct zygote *zygote; /* has been asked, has not answered */
};

typedef struct zygote {
    int fd;
    zygote_state state;
    const char *preload;
    char *failure;
    char *info; /* what it says of itself when it is ready: JSON */
} zygote;

typedef struct waiter {
    struct waiter *next;
    int fd;
} waiter;

/* Zygotes of one interpreter, system and network: a bare one, at once, and one with the preload list, when it is ready.
 * The first family is the sandbox's own and stays; others end when nobody has used them for a while. */
typedef struct family {
    struct family *next;
    interpreter python;
    bool host_network;
    zygote bare, full;
    session *spare;
    waiter *waiters; /* for the preload list */
    int64_t used_ms;
    bool ending; /* gone for who asks; freed with its last session */
} family;

static struct {
    char *preload, *guest_dir;
    char **env; /* NULL-ended */
    family *families;
    session *sessions;
    cgroup_root cgroups;
    identity ids;
    template_process template;
    int filter_fd;
    int fd_limit;
    uint64_t last_id;
    int64_t spare_due_ms; /* when to make the next spares; 0: nothing to do */
} supervisor;

/* --- telling the library --------------------------------------------------------------------------------------------- */

static void send_message(int fd, uint8_t type, const ci_error *error, const char *info) {
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, type, &mark);
    cii_wire_put_str(&message, CII_SETUP_BUILD, CI_BUILD_ID);
    cii_wire_put_str(&message, CII_SETUP_INFO, info);
    if (error != NULL) {
        cii_wire_put_int(&message, CII_SETUP_STATUS, ci_error_status(error));
        cii_wire_put_int(&message, CII_SETUP_ERRNO, ci_error_errno(error));
        cii_wire_put_str(&message, CII_SETUP_MESSAGE, ci_error_message(error));
        cii_wire_put_str(&message, CII_SETUP_HINT, ci_error_hint(error));
    }
    cii_wire_end(&message, &mark);
    cii_fd_send(fd, message.data, message.size, NULL, 0, MSG_DONTWAIT);
}

static void refuse_text(int fd, ci_status status, const char *text) {
    _cleanup_error_ ci_error *error = NULL;
    cii_error_set(&error, status, DOMAIN, "%s", text);
    send_message(fd, CII_SETUP_REFUSED, error, NULL);
}

/* Refuses a session. The library's SESSION is taken out of its socket first: one that is closed with something unread
 * in it loses what was written to it as well. */
static void refuse_setup(int fd, const ci_error *error) {
    uint8_t byte;
    int control = -1;
    size_t count = 0;
    if (cii_fd_recv(fd, &byte, sizeof byte, &control, 1, &count, MSG_DONTWAIT) > 0)
        cii_close(control);
    send_message(fd, CII_SETUP_REFUSED, error, NULL);
}

static void refuse_setup_text(int fd, ci_status status, const char *text) {
    _cleanup_error_ ci_error *error = NULL;
    cii_error_set(&error, status, DOMAIN, "%s", text);
    refuse_setup(fd, error);
}

/* --- zygotes --------------------------------------------------------------------------------------------------------- */

/* What a sandbox's processes start with: nothing of the host's environment. */
static char **make_env(char *const *extra, size_t extra_count) {
    static const char *const base[] = {
        "PATH=/opt/libci/bin:/home/user/.local/bin:/workspace/node_modules/.bin:/usr/local/bin:/usr/bin:/bin",
        "HOME=/home/user",
        "USER=user",
        "LOGNAME=user",
        "SHELL=/bin/bash",
        "LANG=C.UTF-8",
        "TERM=dumb",
        "MPLBACKEND=agg",
        "PIP_DISABLE_PIP_VERSION_CHECK=1",
        "PIP_BREAK_SYSTEM_PACKAGES=1",
        "PIP_NO_INPUT=1",
        /* Thread pools that are made at import would keep the zygote from being forked. */
        "OPENBLAS_NUM_THREADS=1",
        "NUMEXPR_NUM_THREADS=1",
    };
    char **env = calloc(CII_ELEMENTS(base) + extra_count + 1, sizeof *env);
    for (size_t i = 0; env != NULL && i < CII_ELEMENTS(base); i++)
        env[i] = strdup(base[i]);
    for (size_t i = 0; env != NULL && i < extra_count; i++)
        env[CII_ELEMENTS(base) + i] = extra[i];
    return env;
}

/* Root shows a folder with its owner's id turned into the one that uses it; others have the one id on both sides. */
static int open_host_dir(const char *path, uint32_t uid) {
    return supervisor.ids.count == 1 ? template_open_tree(&supervisor.template, path)
                                     : identity_open_tree(&supervisor.ids, path, uid);
}

static void start_zygote(family *f, zygote *z) {
    int sockets[2];
    _cleanup_close_ int rootfs = f->python.rootfs != NULL ? open_host_dir(f->python.rootfs, 0) : -1;
    if (f->python.rootfs != NULL && rootfs < 0) {
        free(z->failure);
        z->failure = cii_str_printf("rootfs: %s: %s", f->python.rootfs, strerror(errno));
        z->state = ZYGOTE_FAILED;
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return;
    zygote_request request = {.python = &f->python,
                              .preload = z->preload,
                              .guest_dir = supervisor.guest_dir,
                              .env = supervisor.env,
                              .host_network = f->host_network,
                              .socket_fd = sockets[1],
                              .filter_fd = supervisor.filter_fd,
                              .rootfs_fd = rootfs};
    int result = template_start_zygote(&supervisor.template, &request);
    cii_close(sockets[1]);
    if (result < 0) {
        cii_close(sockets[0]);
        return;
    }
    z->fd = sockets[0];
    z->state = ZYGOTE_STARTING;
}

static bool is_family(const family *f, const char *python, const char *rootfs, bool host_network) {
    return !f->ending && f->host_network == host_network && strcmp(f->python.path, python) == 0 &&
           (rootfs == NULL ? f->python.rootfs == NULL
                           : f->python.rootfs != NULL && strcmp(f->python.rootfs, rootfs) == 0);
}

static family *find_family(const char *python, const char *rootfs, bool host_network, ci_error **ret_error) {
    family *f = supervisor.families;
    while (f != NULL && !is_family(f, python, rootfs, host_network))
        f = f->next;
    if (f != NULL) {
        f->used_ms = cii_clock_ms();
        return f;
    }
    if ((f = calloc(1, sizeof *f)) == NULL || interpreter_find(python, rootfs, &f->python, ret_error) != CI_OK) {
        free(f);
        return NULL;
    }
    f->host_network = host_network;
    f->used_ms = cii_clock_ms();
    f->bare = (zygote){.fd = -1, .preload = "bare"};
    f->full = (zygote){.fd = -1, .preload = supervisor.preload};
    f->next = supervisor.families;
    supervisor.families = f;
    return f;
}

/* "none" asks for no preloading at all: the bare zygote is then all there is to prepare. */
static bool wants_full(void) {
    return strcmp(supervisor.preload, "none") != 0;
}

static void wake(family *f) {
    while (f->waiters != NULL) {
        waiter *w = f->waiters;
        f->waiters = w->next;
        const zygote *z = wants_full() ? &f->full : &f->bare;
        if (z->state == ZYGOTE_READY)
            send_message(w->fd, CII_SETUP_HELLO_OK, NULL, z->info);
        else
            refuse_text(w->fd, CI_ERR_IO,
                        z->failure != NULL        ? z->failure
                        : f->bare.failure != NULL ? f->bare.failure
                                                  : "the interpreter ended while it was prepared");
        cii_close(w->fd);
        free(w);
    }
}

/* --- sessions -------------------------------------------------------------------------------------------------------- */

static void free_session(session *s) {
    cii_close(s->setup_fd);
    cii_close(s->tree_fd);
    cii_close(s->rootfs_fd);
    cii_close(s->pidfd);
    cii_close(s->spare_fd);
    cii_close(s->root_fd);
    cii_close(s->base_fd);
    free(s);
}

static void unlink_session(session *s) {
    session **at = &supervisor.sessions;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (s->family->spare == s)
        s->family->spare = NULL;
}

static void refuse_session(session *s, ci_status status, const char *text) {
    refuse_setup_text(s->setup_fd, status, text);
    cgroup_remove(&supervisor.cgroups, s->id);
    unlink_session(s);
    free_session(s);
}

static bool send_fork(session *s, zygote *z) {
    cgroup_fds groups;
    if (cgroup_make(&supervisor.cgroups, s->id, s->memory_bytes, s->process_count, &groups) < 0) {
        cgroup_fds_close(&groups);
        cgroup_remove(&supervisor.cgroups, s->id);
        return false;
    }
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, CII_SETUP_FORK, &mark);
    cii_wire_put_int(&message, CII_SETUP_UID, s->uid);
    cii_wire_put_int(&message, CII_SETUP_LIMITS, supervisor.cgroups.limits);
    cii_wire_put_int(&message, CII_SETUP_TREE, s->tree_fd >= 0);
    cii_wire_put_int(&message, CII_SETUP_ROOTFS, s->rootfs_fd >= 0);
    cii_wire_put_int(&message, CII_SETUP_OOM, groups.oom >= 0);
    cii_wire_end(&message, &mark);
    const int own[] = {s->setup_fd, s->tree_fd, s->rootfs_fd, groups.oom};
    int fds[CII_ELEMENTS(own) + CII_SETUP_CGROUP_MAX];
    size_t count = 0;
    for (size_t i = 0; i < CII_ELEMENTS(own); i++)
        if (own[i] >= 0)
            fds[count++] = own[i];
    for (size_t i = 0; i < groups.enter_count; i++)
        fds[count++] = groups.enter[i];
    bool sent = cii_fd_send(z->fd, message.data, message.size, fds, count, 0) > 0;
    cgroup_fds_close(&groups);
    return sent;
}

/* Gives sessions that wait to the zygote that is ready, the one with the preload list before the bare one. */
static void dispatch(family *f) {
    zygote *z = f->full.state == ZYGOTE_READY ? &f->full : f->bare.state == ZYGOTE_READY ? &f->bare : NULL;
    for (session *s = supervisor.sessions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->family != f || s->zygote != NULL || s->pidfd >= 0)
            continue;
        if (z != NULL) {
            if (send_fork(s, z))
                s->zygote = z;
            else
                refuse_session(s, CI_ERR_IO, "make the session's control group");
        } else if (f->bare.state == ZYGOTE_FAILED) {
            refuse_session(s, CI_ERR_IO, f->bare.failure != NULL ? f->bare.failure : "the interpreter does not start");
        }
    }
    if (z == NULL && f->bare.state == ZYGOTE_FAILED)
        f->bare.state = ZYGOTE_NONE; /* the next session tries again */
}

static void ensure_zygotes(family *f) {
    if (f->bare.state == ZYGOTE_NONE && f->full.state != ZYGOTE_READY)
        start_zygote(f, &f->bare);
    if (wants_full() && f->full.state == ZYGOTE_NONE && f->bare.state == ZYGOTE_READY)
        start_zygote(f, &f->full);
}

/* A session gets the lowest id that is free; with one id for all, they share it. */
static uint32_t free_uid(void) {
    if (supervisor.ids.count == 1)
        return 0;
    for (uint32_t uid = 1000;; uid++) {
        const session *s = supervisor.sessions;
        while (s != NULL && s->uid != uid)
            s = s->next;
        if (s == NULL || uid + 1 == supervisor.ids.count)
            return uid;
    }
}

static void zygote_gone(family *f, zygote *z) {
    bool was_ready = z->state == ZYGOTE_READY;
    cii_close(TAKE_FD(z->fd));
    z->state = was_ready ? ZYGOTE_NONE : ZYGOTE_FAILED;
    for (session *s = supervisor.sessions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->zygote != z)
            continue;
        s->zygote = NULL;
        cgroup_remove(&supervisor.cgroups, s->id);
        if (++s->attempts >= ATTEMPTS)
            refuse_session(s, CI_ERR_LOST, "the interpreter that sessions are forked from has died");
    }
    ensure_zygotes(f);
    if (z->state == ZYGOTE_FAILED)
        wake(f);
    dispatch(f);
}

static void zygote_forked(zygote *z, int pidfd) {
    session *oldest = NULL; /* the list is newest first, and a zygote answers in order */
    for (session *s = supervisor.sessions; s != NULL; s = s->next)
        if (s->zygote == z)
            oldest = s;
    if (oldest == NULL) {
        cii_close(pidfd);
        return;
    }
    oldest->zygote = NULL;
    if (pidfd < 0) {
        refuse_session(oldest, CI_ERR_IO, "fork the session: no processes or memory left");
        return;
    }
    oldest->pidfd = pidfd;
    cii_close(TAKE_FD(oldest->setup_fd));
    cii_close(TAKE_FD(oldest->tree_fd));
    cii_close(TAKE_FD(oldest->rootfs_fd));
}

static void zygote_refused(zygote *z, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    _cleanup_free_ char *text = NULL;
    int error_number = 0;
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_MESSAGE && text == NULL)
            text = strndup((const char *)field.data, field.size);
        else if (field.key == CII_SETUP_ERRNO)
            error_number = (int)cii_wire_int(&field);
    free(z->failure);
    z->failure = cii_str_printf("%s%s%s", text != NULL ? text : "the interpreter gives no reason",
                                error_number != 0 ? ": " : "", error_number != 0 ? strerror(error_number) : "");
}

static void take_info(zygote *z, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    free(TAKE_PTR(z->info));
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_INFO && z->info == NULL)
            z->info = strndup((const char *)field.data, field.size);
}

static void zygote_ready(family *f, zygote *z) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    cii_wire_frame_head head;
    int pidfd = -1;
    size_t fd_count = 0;
    ssize_t size = cii_fd_recv(z->fd, message, sizeof message, &pidfd, 1, &fd_count, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0) {
        zygote_gone(f, z);
        return;
    }
    if (head.type == CII_SETUP_REFUSED) {
        zygote_refused(z, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
    } else if (head.type == CII_SETUP_FORKED) {
        zygote_forked(z, pidfd);
    } else if (head.type == CII_SETUP_ZYGOTE_READY) {
        z->state = ZYGOTE_READY;
        take_info(z, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
        dispatch(f);
        ensure_zygotes(f);
        if (z == &f->full) { /* nobody needs the bare one any more; it ends when nobody holds its socket */
            cii_close(TAKE_FD(f->bare.fd));
            f->bare.state = ZYGOTE_NONE;
        }
        if (z == &f->full || !wants_full()) {
            wake(f);
            supervisor.spare_due_ms = cii_clock_ms(); /* at once */
        }
    }
}

/* --- the library's requests ------------------------------------------------------------------------------------------- */

typedef struct request {
    char *python, *host_dir, *rootfs, *preload, *guest_dir, *build;
    char **env;
    size_t env_count;
    uint64_t memory_bytes;
    uint32_t process_count;
    int network;
    bool plain;
} request;

static void request_free(request *r) {
    free(r->python);
    free(r->host_dir);
    free(r->rootfs);
    free(r->build);
}

static void parse_request(request *r, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    *r = (request){.env = calloc(size / 5 + 1, sizeof(char *))};
    while (cii_wire_next(data, size, &cursor, &field) == 1) {
        const struct {
            uint8_t key;
            char **text;
        } texts[] = {{CII_SETUP_PYTHON, &r->python},
                     {CII_SETUP_HOST_DIR, &r->host_dir},
                     {CII_SETUP_ROOTFS, &r->rootfs},
                     {CII_SETUP_PRELOAD, &r->preload},
                     {CII_SETUP_GUEST_DIR, &r->guest_dir},
                     {CII_SETUP_BUILD, &r->build},
                     {CII_SETUP_ENV, r->env != NULL ? &r->env[r->env_count] : NULL}};
        for (size_t i = 0; i < CII_ELEMENTS(texts); i++)
            if (field.key == texts[i].key && texts[i].text != NULL && *texts[i].text == NULL)
                *texts[i].text = strndup((const char *)field.data, field.size);
        r->env_count += field.key == CII_SETUP_ENV;
        if (field.key == CII_SETUP_MEMORY)
            r->memory_bytes = (uint64_t)cii_wire_int(&field);
        else if (field.key == CII_SETUP_PROCESSES)
            r->process_count = (uint32_t)cii_wire_int(&field);
        else if (field.key == CII_SETUP_NETWORK)
            r->network = (int)cii_wire_int(&field);
        else if (field.key == CII_SETUP_PLAIN)
            r->plain = cii_wire_int(&field) != 0;
    }
}

static session *session_new(family *f, int setup_fd, uint64_t memory_bytes, uint32_t process_count) {
    session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (session){.next = supervisor.sessions,
                   .id = ++supervisor.last_id,
                   .uid = free_uid(),
                   .setup_fd = setup_fd,
                   .tree_fd = -1,
                   .rootfs_fd = -1,
                   .pidfd = -1,
                   .spare_fd = -1,
                   .root_fd = -1,
                   .base_fd = -1,
                   .memory_bytes = memory_bytes,
                   .process_count = process_count,
                   .family = f};
    supervisor.sessions = s;
    return s;
}

/* Has a session made that nobody has asked for yet, so that the next who asks does not wait for it. A system of its own
 * needs mounts that take longer than is gained. */
static void make_spare(family *f) {
    const zygote *z = wants_full() ? &f->full : &f->bare;
    int sockets[2];
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    if (f->spare != NULL || f->ending || f->host_network || f->python.rootfs != NULL || z->state != ZYGOTE_READY ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return;
    cii_wire_begin(&message, CII_SETUP_SESSION, &mark);
    cii_wire_put_int(&message, CII_SETUP_MEMORY, (int64_t)CII_PLAIN_MEMORY);
    cii_wire_put_int(&message, CII_SETUP_WORKSPACE, (int64_t)CII_PLAIN_WORKSPACE);
    cii_wire_put_int(&message, CII_SETUP_INODES, (int64_t)CII_PLAIN_INODES);
    cii_wire_put_int(&message, CII_SETUP_PROCESSES, CII_PLAIN_PROCESSES);
    cii_wire_put_int(&message, CII_SETUP_OPEN_FILES, CII_PLAIN_OPEN_FILES);
    cii_wire_end(&message, &mark);
    session *s = session_new(f, sockets[1], CII_PLAIN_MEMORY, CII_PLAIN_PROCESSES);
    if (s == NULL) {
        cii_close(sockets[0]);
        cii_close(sockets[1]);
        return;
    }
    s->spare_fd = sockets[0];
    f->spare = s;
    cii_fd_send(s->spare_fd, message.data, message.size, NULL, 0, 0);
    dispatch(f);
}

static void spare_ready(session *s) {
    uint8_t message[1024];
    cii_wire_frame_head head;
    int fds[2] = {-1, -1};
    size_t count = 0;
    ssize_t size = cii_fd_recv(s->spare_fd, message, sizeof message, fds, 2, &count, MSG_DONTWAIT);
    if (size >= (ssize_t)CII_WIRE_HEAD_SIZE && cii_wire_parse_head(message, &head) == 0 &&
        head.type == CII_SETUP_SESSION_READY && count == 2) {
        s->root_fd = fds[0];
        s->base_fd = fds[1];
        return;
    }
    cii_close(fds[0]);
    cii_close(fds[1]);
    cii_close(TAKE_FD(s->spare_fd)); /* it has failed: its end is noticed by its pidfd */
    if (s->family->spare == s)
        s->family->spare = NULL;
}

/* Gives a spare to who asked: the library's SESSION, which waits in its socket, to the spare; the spare's descriptors to
 * the library. */
static bool assign_spare(session *s, const request *r, int setup_fd) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    _cleanup_buf_ cii_buf ready = {0};
    cii_wire_mark mark;
    int control = -1;
    size_t count = 0;
    if (cgroup_limit(&supervisor.cgroups, s->id, r->memory_bytes, r->process_count) < 0)
        return false;
    ssize_t size = cii_fd_recv(setup_fd, message, sizeof message, &control, 1, &count, MSG_DONTWAIT);
    ssize_t sent = size > 0 && count == 1 ? cii_fd_send(s->spare_fd, message, (size_t)size, &control, 1, 0) : -1;
    cii_close(control);
    cii_wire_begin(&ready, CII_SETUP_SESSION_READY, &mark);
    cii_wire_put_int(&ready, CII_SETUP_LIMITS, supervisor.cgroups.limits);
    cii_wire_end(&ready, &mark);
    if (sent > 0) /* else the library finds its socket closed */
        cii_fd_send(setup_fd, ready.data, ready.size, (int[]){s->root_fd, s->base_fd}, 2, MSG_DONTWAIT);
    cii_close(setup_fd);
    cii_close(TAKE_FD(s->spare_fd));
    cii_close(TAKE_FD(s->root_fd));
    cii_close(TAKE_FD(s->base_fd));
    s->family->spare = NULL;
    return true;
}

/* Not at once: the session that was just opened has better use for the processor. */
#define SPARE_DELAY_MS 20

static void want_spare(void) {
    supervisor.spare_due_ms = cii_clock_ms() + SPARE_DELAY_MS;
}

/* A folder of the host that the session is to see, as a detached mount; true without one. */
static bool open_tree_of(const char *option, const char *path, int *ret_tree, ci_error **ret_error) {
    if (path == NULL || (*ret_tree = open_host_dir(path, free_uid())) >= 0)
        return true;
    cii_error_errno(ret_error, errno, DOMAIN, "%s: %s", option, path);
    return false;
}

static void open_session(const request *r, int setup_fd) {
    _cleanup_error_ ci_error *error = NULL;
    _cleanup_close_ int tree = -1, rootfs = -1;
    family *f = find_family(r->python, r->rootfs, r->network == 2, &error);
    want_spare();
    if (f != NULL && r->plain && f->spare != NULL && f->spare->root_fd >= 0 && assign_spare(f->spare, r, setup_fd))
        return;
    if (f != NULL &&
        (!open_tree_of("host_dir", r->host_dir, &tree, &error) || !open_tree_of("rootfs", r->rootfs, &rootfs, &error)))
        f = NULL;
    session *s = f != NULL ? session_new(f, setup_fd, r->memory_bytes, r->process_count) : NULL;
    if (s == NULL) {
        refuse_setup(setup_fd, error);
        cii_close(setup_fd);
        return;
    }
    s->tree_fd = TAKE_FD(tree);
    s->rootfs_fd = TAKE_FD(rootfs);
    ensure_zygotes(f);
    dispatch(f);
}

static void prepare(const request *r, int reply_fd) {
    _cleanup_error_ ci_error *error = NULL;
    family *f = find_family(r->python, NULL, r->network == 2, &error);
    waiter *w = f != NULL ? calloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        send_message(reply_fd, CII_SETUP_REFUSED, error, NULL);
        cii_close(reply_fd);
        return;
    }
    *w = (waiter){.next = f->waiters, .fd = reply_fd};
    f->waiters = w;
    if (f->full.state == ZYGOTE_FAILED)
        f->full.state = ZYGOTE_NONE;
    ensure_zygotes(f);
    if ((wants_full() ? f->full : f->bare).state == ZYGOTE_READY)
        wake(f);
}

/* False when the library is gone. */
static bool serve_host(void) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    cii_wire_frame_head head;
    int fd = -1;
    size_t fd_count = 0;
    ssize_t size = cii_fd_recv(HOST_FD, message, sizeof message, &fd, 1, &fd_count, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR || errno == EPROTO)) /* EPROTO: no descriptor left to take one */
        return true;
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0 || fd_count != 1)
        return false;
    request r;
    parse_request(&r, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
    if (r.python == NULL) {
        cii_close(fd);
    } else if (fd >= supervisor.fd_limit - SPARE_FDS) { /* the lowest that was free */
        refuse_setup_text(fd, CI_ERR_LIMIT,
                          "no descriptors left for another session: raise the host's limit (ulimit -Hn)");
        cii_close(fd);
    } else if (head.type == CII_SETUP_OPEN) {
        open_session(&r, fd);
    } else {
        prepare(&r, fd);
    }
    request_free(&r);
    free(r.env);
    return true;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static ci_status set_up(const request *hello, ci_error **ret_error) {
    supervisor.preload = hello->preload;
    supervisor.guest_dir = hello->guest_dir;
    supervisor.env = make_env(hello->env, hello->env_count);
    if (hello->python == NULL || supervisor.env == NULL || supervisor.preload == NULL || supervisor.guest_dir == NULL)
        return cii_error_nomem(ret_error);
    supervisor.filter_fd = filter_make();
    if (supervisor.filter_fd < 0)
        return cii_error_errno(ret_error, errno, DOMAIN, "compile the system call filter");
    identity_choose(&supervisor.ids);
    cgroup_open(&supervisor.cgroups);
    ci_status status = template_start(&supervisor.ids, &supervisor.template, ret_error);
    family *f = status == CI_OK ? find_family(hello->python, NULL, false, ret_error) : NULL;
    if (f == NULL)
        return ret_error != NULL && *ret_error != NULL ? ci_error_status(*ret_error) : CI_ERR_NOMEM;
    ensure_zygotes(f);
    return CI_OK;
}

static bool read_hello(request *ret_hello) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    cii_wire_frame_head head;
    ssize_t size;
    do
        size = recv(HOST_FD, message, sizeof message, 0);
    while (size < 0 && errno == EINTR);
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0 || head.type != CII_SETUP_HELLO)
        return false;
    parse_request(ret_hello, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
    return ret_hello->build != NULL;
}

/* Ends sessions whose init has ended; their groups may be in use for a moment longer. */
static void reap_session(session *s) {
    if (cgroup_remove(&supervisor.cgroups, s->id) || ++s->attempts > REMOVE_ATTEMPTS) {
        unlink_session(s);
        free_session(s);
    } else {
        usleep(500);
    }
}

#define FIXED_SOURCES 3

static size_t collect(struct pollfd *fds, void **owners) {
    size_t count = 0;
    fds[count++] = (struct pollfd){.fd = HOST_FD, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = OWNER_FD, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = supervisor.template.socket_fd, .events = 0}; /* hangs up when it ends */
    for (family *f = supervisor.families; f != NULL; f = f->next)
        for (int i = 0; i < 2; i++) {
            zygote *z = i == 0 ? &f->bare : &f->full;
            owners[count] = f;
            fds[count++] = (struct pollfd){.fd = z->fd, .events = POLLIN};
        }
    for (session *s = supervisor.sessions; s != NULL; s = s->next) {
        owners[count] = s;
        fds[count++] = (struct pollfd){.fd = s->pidfd, .events = POLLIN};
        fds[count++] = (struct pollfd){.fd = s->root_fd < 0 ? s->spare_fd : -1, .events = POLLIN};
    }
    return count;
}

static size_t count_sources(size_t *ret_zygotes) {
    size_t zygotes = 0, sessions = 0;
    for (const family *f = supervisor.families; f != NULL; f = f->next)
        zygotes += 2;
    for (const session *s = supervisor.sessions; s != NULL; s = s->next)
        sessions += 2;
    *ret_zygotes = zygotes;
    return FIXED_SOURCES + zygotes + sessions;
}

static int spare_timeout(void) {
    return supervisor.spare_due_ms == 0 ? -1 : (int)CII_MAX(supervisor.spare_due_ms - cii_clock_ms(), 0);
}

#define FAMILY_IDLE_MS 60000

/* Whether the memory of its zygotes is of use to anybody. */
static bool is_idle(const family *f, int64_t now) {
    bool used = f->next == NULL || f->waiters != NULL || now - f->used_ms < FAMILY_IDLE_MS;
    for (const session *s = supervisor.sessions; s != NULL && !used; s = s->next)
        used = s->family == f && (s != f->spare || s->root_fd < 0);
    return !used;
}

static bool has_sessions(const family *f) {
    const session *s = supervisor.sessions;
    while (s != NULL && s->family != f)
        s = s->next;
    return s != NULL;
}

/* Its processes end when nobody holds their sockets. */
static void end_family(family *f) {
    f->ending = true;
    zygote *const zygotes[] = {&f->bare, &f->full};
    for (size_t i = 0; i < CII_ELEMENTS(zygotes); i++) {
        cii_close(TAKE_FD(zygotes[i]->fd));
        zygotes[i]->state = ZYGOTE_NONE;
    }
    if (f->spare != NULL)
        cii_close(TAKE_FD(f->spare->spare_fd));
    f->spare = NULL;
}

static void free_zygote(zygote *z) {
    free(z->failure);
    free(z->info);
}

static void end_idle_families(void) {
    int64_t now = cii_clock_ms();
    for (family **at = &supervisor.families; *at != NULL;) {
        family *f = *at;
        if (!f->ending && is_idle(f, now))
            end_family(f);
        if (!f->ending || has_sessions(f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        interpreter_free(&f->python);
        free_zygote(&f->bare);
        free_zygote(&f->full);
        free(f);
    }
}

/* The families are looked at now and then, as long as there are others than the first. */
static int next_timeout(void) {
    int spare = spare_timeout(), idle = supervisor.families->next != NULL ? FAMILY_IDLE_MS / 4 : -1;
    return spare < 0 ? idle : idle < 0 ? spare : CII_MIN(spare, idle);
}

/* One round: false when it is time to end. Sessions first, since the others may free them. */
static bool serve(void) {
    size_t zygotes, expected = count_sources(&zygotes);
    _cleanup_free_ struct pollfd *fds = calloc(expected, sizeof *fds);
    _cleanup_free_ void **owners = calloc(expected, sizeof *owners);
    if (fds == NULL || owners == NULL)
        return false;
    size_t count = collect(fds, owners);
    if (poll(fds, count, next_timeout()) < 0)
        return errno == EINTR;
    for (size_t i = FIXED_SOURCES + zygotes; i < count; i += 2) {
        if (fds[i + 1].revents != 0)
            spare_ready(owners[i]);
        if (fds[i].revents != 0)
            reap_session(owners[i]);
    }
    for (size_t i = FIXED_SOURCES; i < FIXED_SOURCES + zygotes; i++) {
        family *f = owners[i];
        zygote *z = (i - FIXED_SOURCES) % 2 == 0 ? &f->bare : &f->full;
        if (fds[i].revents != 0 && z->fd == fds[i].fd)
            zygote_ready(f, z);
    }
    if (fds[1].revents != 0 || fds[2].revents != 0)
        return false; /* without the template no session lives, and none can be made */
    if (spare_timeout() == 0) {
        supervisor.spare_due_ms = 0;
        for (family *f = supervisor.families; f != NULL; f = f->next)
            make_spare(f);
    }
    end_idle_families();
    return fds[0].revents == 0 || serve_host();
}

/* Sessions cost this process descriptors, and their inits: both may have as many as there can be. */
static void raise_fd_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    supervisor.fd_limit = (int)CII_MIN(files.rlim_max, (rlim_t)INT32_MAX);
}

int main(void) {
    request hello;
    _cleanup_error_ ci_error *error = NULL;
    signal(SIGPIPE, SIG_IGN);
    umask(022); /* the host's would close the sandbox's folders to their users */
    raise_fd_limit();
    if (!read_hello(&hello))
        return 1;
    if (strcmp(hello.build, CI_BUILD_ID) != 0) {
        refuse_text(HOST_FD, CI_ERR_MISMATCH, "the helper program ci-supervisor is of another build than the library");
        return 1;
    }
    if (set_up(&hello, &error) != CI_OK)
        send_message(HOST_FD, CII_SETUP_REFUSED, error, NULL);
    else {
        prctl(PR_SET_DUMPABLE, 0); /* not before the template's maps were written through /proc */
        send_message(HOST_FD, CII_SETUP_HELLO_OK, NULL, NULL);
        while (serve())
            ;
    }
    if (supervisor.template.pid > 0) {
        kill(supervisor.template.pid, SIGKILL);
        waitpid(supervisor.template.pid, NULL, 0); /* returns when all its processes are gone */
    }
    cgroup_close(&supervisor.cgroups);
    return 0;
}
